import { BlockList, isIP, SocketAddress } from 'node:net'

const LOOPBACK = '127.0.0.1'
const MAPPED = '::ffff:'
/** Longer than any address with its port; the patterns below take quadratic time over a header of 16 KiB. */
const MOST_CHARACTERS = 64

/**
 * What proxies write around an address, with the address as the only group: Azure and AWS add the port of the client
 * (`203.0.113.9:4711`, `[2001:db8::1]:4711`, and IPv6 in full without brackets), others add brackets alone.
 */
const DECORATED = [
  /^\[([^\]]+)\](?::\d{1,5})?$/,
  /^(.*\d+\.\d+\.\d+\.\d+):\d{1,5}$/,
  /^((?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}):\d{1,5}$/i,
]

function withoutDecoration(text: string): string {
  if (text.length > MOST_CHARACTERS) return ''
  const bare = text.trim().replaceAll('"', '')
  // nginx writes this for a peer that came over a socket of its own machine.
  if (bare.startsWith('unix:')) return LOOPBACK
  const found = DECORATED.map((pattern) => pattern.exec(bare)?.[1]).find((address) => address !== undefined)
  return (found ?? bare).replace(/%.*$/, '')
}

/**
 * Reads an address as a socket or a forwarding header tells it: without port, brackets and zone, an IPv4-mapped one
 * (`::ffff:a.b.c.d` in any spelling) as IPv4. Null for what is no address, as a forged header may hold.
 */
export function readAddress(text: string | undefined): string | null {
  const address = withoutDecoration(text ?? '')
  const family = isIP(address)
  if (family !== 6) return family === 4 ? address : null
  const canonical = new SocketAddress({ address, family: 'ipv6' }).address
  return canonical.startsWith(MAPPED) && canonical.includes('.') ? canonical.slice(MAPPED.length) : canonical
}

/** A set of addresses and CIDR ranges, IPv4 and IPv6; each range holds addresses of its own family. */
export class AddressSet {
  readonly #ipv4 = new BlockList()
  readonly #ipv6 = new BlockList()

  constructor(entries: readonly string[]) {
    for (const entry of entries) this.#add(entry)
  }

  /** Whether the address that `text` tells, in any form that `readAddress` knows, is in the set. */
  has(text: string | undefined): boolean {
    const address = readAddress(text)
    if (address === null) return false
    return isIP(address) === 4 ? this.#ipv4.check(address, 'ipv4') : this.#ipv6.check(address, 'ipv6')
  }

  #add(entry: string): void {
    const [text = '', prefix] = entry.split('/')
    const address = readAddress(text) ?? text
    const mappedBits = isIP(text) === 6 && isIP(address) === 4 ? 96 : 0
    const bits = Number(prefix ?? (isIP(text) === 4 ? 32 : 128))
    if (isIP(address) === 4 && bits >= mappedBits) this.#ipv4.addSubnet(address, bits - mappedBits, 'ipv4')
    else this.#ipv6.addSubnet(text, bits, 'ipv6')
  }
}
