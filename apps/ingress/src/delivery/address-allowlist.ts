import { BlockList, isIP } from 'node:net'

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6'
}

/**
 * Makes the test whether a source address is listed; an empty list lets everything pass.
 *
 * `entries` are addresses and CIDR ranges, IPv4 and IPv6. `BlockList` takes an IPv4 address and its IPv4-mapped form
 * (`::ffff:a.b.c.d`, what a socket for both families tells) for the same. What is no address, as a forged forwarding
 * header may hold, is not listed.
 */
export function addressAllowlist(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => true
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/')
    if (bits === undefined) list.addAddress(address, familyOf(address))
    else list.addSubnet(address, Number(bits), familyOf(address))
  }
  return (address) => {
    const withoutZone = address.replace(/%.*$/, '')
    return isIP(withoutZone) !== 0 && list.check(withoutZone, familyOf(withoutZone))
  }
}
