import { BlockList, isIP, SocketAddress } from 'node:net'

const PREFIX_BITS = { 4: 32, 6: 128 } as const

/** The names of ranges in Fastify's `trustProxy`. */
const NAMED_RANGES: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

/** An IPv4 or IPv6 address, or a range of them in CIDR notation. */
export function isAddressOrRange(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0 || address.includes('%')) return false
  if (prefix === undefined) return true
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= PREFIX_BITS[version as 4 | 6]
}

/** An address, a range in CIDR notation, or the name of a range: `loopback`, `linklocal`, `uniquelocal`. */
export function isTrustedProxy(text: string): boolean {
  return Object.hasOwn(NAMED_RANGES, text) || isAddressOrRange(text)
}

const LOOPBACK = '127.0.0.1'
const MAPPED = '::ffff:'
/** Longer than any address with its port. The patterns below take quadratic time over a header of 16 KiB. */
const MAX_CHARACTERS = 64

/**
 * Forms in which proxies write an address; the only group is the address. Azure and AWS add the port of the client
 * (`203.0.113.9:4711`, `[2001:db8::1]:4711`, and IPv6 in full without brackets), other proxies add brackets alone.
 */
const DECORATED = [
  /^\[([^\]]+)\](?::\d{1,5})?$/,
  /^(.*\d+\.\d+\.\d+\.\d+):\d{1,5}$/,
  /^((?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}):\d{1,5}$/i,
]

function withoutDecoration(text: string): string {
  if (text.length > MAX_CHARACTERS) return ''
  const bare = text.trim().replaceAll('"', '')
  // nginx writes this for a client that is connected over a Unix socket.
  if (bare.startsWith('unix:')) return LOOPBACK
  const found = DECORATED.map((pattern) => pattern.exec(bare)?.[1]).find((address) => address !== undefined)
  return (found ?? bare).replace(/%.*$/, '')
}

/**
 * Reads an address from a socket or a forwarding header, without port, brackets and zone.
 *
 * An IPv4-mapped address (`::ffff:a.b.c.d` in any spelling) becomes IPv4. The result is null for any other text, which a
 * forged header may contain.
 */
export function readAddress(text: string | undefined): string | null {
  const address = withoutDecoration(text ?? '')
  const family = isIP(address)
  if (family !== 6) return family === 4 ? address : null
  const canonical = new SocketAddress({ address, family: 'ipv6' }).address
  return canonical.startsWith(MAPPED) && canonical.includes('.') ? canonical.slice(MAPPED.length) : canonical
}

/**
 * A set of addresses, CIDR ranges and named ranges, IPv4 and IPv6; the entries pass `addressList()` or `trustProxy()`.
 * A range holds addresses of its own family only.
 */
export class AddressSet {
  readonly #ipv4 = new BlockList()
  readonly #ipv6 = new BlockList()

  constructor(entries: readonly string[]) {
    for (const entry of entries.flatMap((text) => NAMED_RANGES[text] ?? text)) this.#add(entry)
  }

  /** Whether the set holds the address in `text`, in any form that a socket or a proxy writes. */
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
