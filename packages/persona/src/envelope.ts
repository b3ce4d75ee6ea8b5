import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { isLosslessNumber } from 'lossless-json'
import { parseTimestamp, type Casing } from './attributes.ts'
import { isJsonObject, own, type JsonObject, type JsonValue } from './json.ts'

/**
 * Lists the reasons for which an authentic body is kept as a dead letter instead of an event. Stable.
 *
 * @see docs/errors.md#quarantine-reasons
 */
export const quarantineReasons = [
  'INVALID_JSON',
  'NOT_AN_OBJECT',
  'NESTING_TOO_DEEP',
  'EVENT_ID_INVALID',
  'EVENT_NAME_INVALID',
  'PAYLOAD_INVALID',
  'CREATED_AT_MISSING',
  'CREATED_AT_INVALID',
  'CREATED_AT_OUT_OF_RANGE',
] as const
export type QuarantineReason = (typeof quarantineReasons)[number]

// With the `u` flag a dot class counts code points, as PostgreSQL and JSON Schema count characters.
const upTo255Characters = Type.RegExp(/^[^]{1,255}$/u)
const eventId = TypeCompiler.Compile(Type.RegExp(/^[A-Za-z0-9_-]{1,255}$/))
const eventName = TypeCompiler.Compile(upTo255Characters)
/** The required members of `payload`; blocklists and allowlists of a webhook may remove all others. */
const payload = TypeCompiler.Compile(
  Type.Object({ data: Type.Object({ type: upTo255Characters, id: upTo255Characters }) }),
)

/** The key of the envelope's time in each casing. Where a body has two of them, the first of this list counts. */
export const createdAtKeys: Readonly<Record<Casing, string>> = {
  kebab: 'created-at',
  camel: 'createdAt',
  snake: 'created_at',
}
const CREATED_AT_KEYS = Object.entries(createdAtKeys) as readonly (readonly [Casing, string])[]
/** Persona was founded in 2018. An absurd time would win or lose against all other events for good. */
const EARLIEST_MS = Date.UTC(2015, 0, 1)
const FUTURE_MS = 24 * 60 * 60 * 1000

export type Envelope = {
  readonly ok: true
  readonly eventId: string
  readonly name: string
  readonly createdAtMs: number
  readonly casing: Casing
  /** `data.attributes.payload.data`, known to have a `type` and an `id`. */
  readonly primary: JsonObject
  /** `data.attributes.payload.included` where it is a list, else empty. */
  readonly included: readonly JsonValue[]
}
export type UnusableEnvelope = {
  readonly ok: false
  readonly reason: QuarantineReason
  /** The event's id where it is readable. */
  readonly eventId: string | null
}

type ParsedBody = {
  readonly document: JsonValue
  /** Unix milliseconds; bounds `created-at`. */
  readonly receivedAtMs: number
  /** Whether the limit of nesting does not apply. It is true for the event log: an older version stored deeper documents. */
  readonly mayBeDeep: boolean
}

function member(value: JsonValue | undefined, key: string): JsonValue | undefined {
  return isJsonObject(value) ? own(value, key) : undefined
}

/** The greatest depth of objects and lists in a delivery, the document counted. @see docs/contract.md#2-http-the-ingress */
const MAX_NESTING = 1_000

/** Tells whether a document exceeds the limit of nesting. It recurses no deeper than the limit. */
function isNestedTooDeeply(value: JsonValue, levels = MAX_NESTING): boolean {
  if (value === null || typeof value !== 'object') return false
  if (levels === 0) return !isLosslessNumber(value)
  if (Array.isArray(value)) {
    for (const item of value) if (isNestedTooDeeply(item, levels - 1)) return true
    return false
  }
  const members = value as JsonObject
  for (const key in members) if (isNestedTooDeeply(members[key] as JsonValue, levels - 1)) return true
  return false
}

function readCreatedAt(attributes: JsonValue | undefined, receivedAtMs: number) {
  const spelling = CREATED_AT_KEYS.find(([, key]) => {
    const value = member(attributes, key)
    return value !== undefined && value !== null
  })
  if (spelling === undefined) return 'CREATED_AT_MISSING'
  const [casing, key] = spelling
  const value = member(attributes, key)
  const createdAtMs = typeof value === 'string' ? parseTimestamp(value) : null
  if (createdAtMs === null) return 'CREATED_AT_INVALID'
  if (createdAtMs < EARLIEST_MS || createdAtMs > receivedAtMs + FUTURE_MS) return 'CREATED_AT_OUT_OF_RANGE'
  return { createdAtMs, casing }
}

/** Returns the envelope of a parsed document, or the first reason that makes it unusable. Never throws. */
export function envelopeOf({ document, receivedAtMs, mayBeDeep }: ParsedBody): Envelope | UnusableEnvelope {
  if (!isJsonObject(document)) return { ok: false, reason: 'NOT_AN_OBJECT', eventId: null }
  const data = own(document, 'data')
  const id = member(data, 'id')
  const isEventId = eventId.Check(id)
  if (!mayBeDeep && isNestedTooDeeply(document))
    return { ok: false, reason: 'NESTING_TOO_DEEP', eventId: isEventId ? id : null }
  if (!isEventId) return { ok: false, reason: 'EVENT_ID_INVALID', eventId: null }
  const attributes = member(data, 'attributes')
  const name = member(attributes, 'name')
  if (!eventName.Check(name)) return { ok: false, reason: 'EVENT_NAME_INVALID', eventId: id }
  const payloadValue = member(attributes, 'payload')
  if (!payload.Check(payloadValue)) return { ok: false, reason: 'PAYLOAD_INVALID', eventId: id }
  const time = readCreatedAt(attributes, receivedAtMs)
  if (typeof time === 'string') return { ok: false, reason: time, eventId: id }
  const included = member(payloadValue, 'included')
  return {
    ok: true,
    eventId: id,
    name,
    ...time,
    primary: payloadValue.data,
    included: Array.isArray(included) ? included : [],
  }
}

/** Returns the text of a body without its byte order mark; bytes that are not UTF-8 become U+FFFD. */
export function bodyText(body: Uint8Array): string {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
  return text.startsWith('\ufeff') ? text.slice(1) : text
}

/**
 * Reads the envelope of an authentic body, in any of the three casings, or the reason that makes it unusable.
 * `receivedAtMs` (Unix milliseconds) bounds `created-at`: at most 24 hours later. Never throws.
 *
 * @see docs/contract.md#2-http-the-ingress
 * @see https://docs.withpersona.com/events
 */
export function readEnvelope(body: Uint8Array, receivedAtMs: number): Envelope | UnusableEnvelope {
  let document: JsonValue
  try {
    document = JSON.parse(bodyText(body)) as JsonValue
  } catch {
    return { ok: false, reason: 'INVALID_JSON', eventId: null }
  }
  return envelopeOf({ document, receivedAtMs, mayBeDeep: false })
}
