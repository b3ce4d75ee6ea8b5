import { FormatRegistry, Type } from '@sinclair/typebox'
import { isAddressOrRange, isTrustedProxy } from './addresses.ts'

/** In code points. A shorter secret could be guessed from one signed body. */
const MIN_SECRET_CHARACTERS = 16

/** Characters of a mistake in copying: blanks, quotes, line breaks, invisible characters, bytes outside of UTF-8. */
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
  'trusted-proxy': isTrustedProxy,
}

/** Registers a check with TypeBox, whose formats are global. Returns the keyword of the schema that selects it. */
function checkedBy(name: keyof typeof checks): { format: string } {
  FormatRegistry.Set(name, checks[name])
  return { format: name }
}

// A field has three keywords besides those of JSON Schema: `read` turns its text into a value, `expects` is the text of a
// fault, `faults` finds all faults of a text. A text that cannot be read stays text, which the check refuses.

function readInteger(text: string): number | string {
  return /^\d{1,15}$/.test(text) ? Number(text) : text
}

function readList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function readFlag(text: string): boolean | string {
  return text === 'true' || (text === 'false' ? false : text)
}

function readTrustProxy(text: string): boolean | number | string | string[] {
  if (text === 'true' || text === 'false') return readFlag(text)
  return /^\d+$/.test(text) ? readInteger(text) : readList(text)
}

/** A TCP port; the system chooses one for 0. */
export function port(fallback: number) {
  const expects = 'a port, 0 to 65535'
  return Type.Integer({ minimum: 0, maximum: 65_535, default: fallback, read: readInteger, expects })
}

/** An integer from 1 up to `maximum` (default 2147483647: what a timer of Node.js can hold). */
export function positiveInteger(fallback: number, maximum = 2_147_483_647) {
  const expects = `a whole number, 1 to ${maximum}`
  return Type.Integer({ minimum: 1, maximum, default: fallback, read: readInteger, expects })
}

/** An integer from 0 up, where 0 means off. */
export function integerOrOff(maximum = Number.MAX_SAFE_INTEGER) {
  const expects =
    maximum === Number.MAX_SAFE_INTEGER ? 'a whole number, 0 = off' : `a whole number, 0 = off, to ${maximum}`
  return Type.Integer({ minimum: 0, maximum, default: 0, read: readInteger, expects })
}

/** `true` or `false`. */
export function flag(fallback: boolean) {
  return Type.Boolean({ default: fallback, read: readFlag, expects: 'true or false' })
}

/** A word or name without blanks, such as a host name. */
export function word(fallback?: string) {
  const expects = 'a word without blanks'
  return Type.String({ pattern: '^\\S+$', ...(fallback === undefined ? {} : { default: fallback }), expects })
}

/** A comma-separated list; blanks around items and empty items are dropped. Default: empty. */
export function stringList() {
  return Type.Array(Type.String(), { default: [], read: readList, expects: 'a comma-separated list' })
}

/** Webhook secrets, comma-separated; blanks around items are dropped. Default: empty. */
export function secretList() {
  const expects = 'secrets of 16 characters or more, without blanks, quotes, line breaks or invisible characters'
  return Type.Array(Type.String({ ...checkedBy('secret') }), { default: [], read: readList, expects })
}

/** Addresses and CIDR ranges, IPv4 and IPv6, comma-separated. Default: empty = off. */
export function addressList() {
  const expects = 'IPv4 or IPv6 addresses or CIDR ranges, comma-separated'
  return Type.Array(Type.String({ ...checkedBy('address-or-range') }), { default: [], read: readList, expects })
}

/** Keys for AES-256-GCM, each with an id: the first encrypts, each can decrypt. Default: none. */
export function encryptionKeys() {
  const expects = 'keys as <id>:<base64 of 32 bytes>, comma-separated'
  return Type.Array(Type.String({ ...checkedBy('encryption-key') }), { default: [], read: readList, expects })
}

/** A fault of the variable `name` where two of its keys share an id. */
export function keyFaults(name: string, keys: readonly string[] = []): readonly string[] {
  const ids = keys.map((key) => key.split(':')[0])
  return new Set(ids).size === ids.length ? [] : [`${name}: expected ids that differ`]
}

/** `true`, a number of hops, or a list of addresses and ranges, as Fastify's `trustProxy`. Default: off. */
export function trustProxy() {
  const proxies = Type.Array(Type.String({ ...checkedBy('trusted-proxy') }))
  const hops = Type.Integer({ minimum: 0, maximum: 100 })
  const expects = 'true, a number of hops, or addresses and CIDR ranges, comma-separated'
  return Type.Union([Type.Boolean(), hops, proxies], { default: false, read: readTrustProxy, expects })
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** A level of pino, or `silent`. Default: `info`. */
export function logLevel() {
  const expects = `one of ${LEVELS.join(', ')}`
  return Type.Union(
    LEVELS.map((level) => Type.Literal(level)),
    { default: 'info', expects },
  )
}
