import { isIP } from 'node:net'
import { FormatRegistry } from '@sinclair/typebox'

const PREFIX_BITS = { 4: 32, 6: 128 } as const

/** The ranges that Fastify's `trustProxy` knows by name. */
const NAMED_RANGES = ['loopback', 'linklocal', 'uniquelocal']

/** An IPv4 or IPv6 address, or a range of them in CIDR notation. */
function isAddressOrRange(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0 || address.includes('%')) return false
  if (prefix === undefined) return true
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= PREFIX_BITS[version as 4 | 6]
}

/** Code points. A secret below it can be guessed from one signed body. */
const MIN_SECRET_CHARACTERS = 16

/** What comes with a secret by mistake: blanks, quotes, line breaks, invisible characters, bytes that were no UTF-8. */
const NOT_IN_A_SECRET = /[\s\p{Quotation_Mark}`\p{Cc}\p{Cf}\p{Cs}\uFFFD]/u

function isSecret(text: string): boolean {
  return Array.from(text).length >= MIN_SECRET_CHARACTERS && !NOT_IN_A_SECRET.test(text)
}

const KEY_BYTES = 32

/** `<id>:<base64 of 32 bytes>`. */
function isEncryptionKey(text: string): boolean {
  const found = /^[A-Za-z0-9_-]{1,32}:([A-Za-z0-9+/]{43}=)$/.exec(text)
  return found !== null && Buffer.from(found[1] ?? '', 'base64').length === KEY_BYTES
}

const checks = {
  'address-or-range': isAddressOrRange,
  'encryption-key': isEncryptionKey,
  secret: isSecret,
  'trusted-proxy': (text: string) => NAMED_RANGES.includes(text) || isAddressOrRange(text),
}

/** Registers a check with TypeBox, whose formats are global, and returns the schema keywords that ask for it. */
export function format(name: keyof typeof checks): { format: string } {
  FormatRegistry.Set(name, checks[name])
  return { format: name }
}
