import ipaddr from 'ipaddr.js'

/**
 * Which addresses may be connected to.
 *
 * - `public`: those of the internet alone.
 * - `loopback`: those of this machine alone, for an endpoint that is configured as such.
 * - `any`: private ones too, but no multicast and no unspecified address.
 */
export type AddressPolicy = 'public' | 'loopback' | 'any'

/** Of IPv6, only this range is given to hosts of the internet. */
const GLOBAL_UNICAST = ipaddr.parseCIDR('2000::/3')
/** No single host has such an address, or each machine takes it for itself. */
const NEVER = new Set(['multicast', 'broadcast', 'unspecified'])

function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== 'unicast') return false
  return address.kind() === 'ipv4' || address.match(GLOBAL_UNICAST)
}

/**
 * Whether an address, IPv4 or IPv6, may be connected to. An IPv4-mapped address is never a public one: no name service
 * needs it, and it hides what it leads to.
 */
export function isAllowed(text: string, policy: AddressPolicy): boolean {
  if (!ipaddr.isValid(text)) return false
  const address = ipaddr.parse(text)
  if (policy === 'loopback') return address.range() === 'loopback'
  if (policy === 'public') return isPublic(address)
  const inner = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address
  return !NEVER.has(inner.range())
}

/** The host of a URL without the brackets of IPv6. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1')
}

/** Whether a URL names this machine itself: `localhost`, or an address of loopback. */
export function isLoopback(url: URL): boolean {
  const host = hostOf(url)
  return host === 'localhost' || isAllowed(host, 'loopback')
}

/** The policy for the addresses of a URL. */
export function policyOf(url: URL, isPrivateAllowed: boolean): AddressPolicy {
  if (isLoopback(url)) return 'loopback'
  return isPrivateAllowed ? 'any' : 'public'
}

/** The faults of a URL to send to, without its values. A name is judged at each connection, by what it resolves to. */
export function endpointFaults(text: string, isPrivateAllowed: boolean): readonly string[] {
  if (!URL.canParse(text)) return ['expected a URL']
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return ['expected a URL that begins with https://']
  const faults: string[] = []
  if (url.username !== '' || url.password !== '') faults.push('expected no user name or password')
  if (url.hash !== '') faults.push('expected nothing after a #')
  if (isLoopback(url)) return faults
  if (url.protocol === 'http:' && !isPrivateAllowed)
    faults.push('expected https, except to loopback or with NOTIFIER_ALLOW_PRIVATE=true')
  const host = hostOf(url)
  if (ipaddr.isValid(host) && !isAllowed(host, policyOf(url, isPrivateAllowed)))
    faults.push(
      isPrivateAllowed
        ? 'expected the address of a host'
        : 'expected a public address; a private one needs NOTIFIER_ALLOW_PRIVATE=true',
    )
  return faults
}
