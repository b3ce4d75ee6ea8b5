import { isUtf8 } from 'node:buffer'
import type { Casing } from './attributes.ts'
import { bodyText, envelopeOf, type Envelope, type QuarantineReason } from './envelope.ts'
import { parseStorable, type JsonValue, type StorableJson } from './json.ts'
import {
  claimStrength,
  compareClaims,
  emptyState,
  eventRank,
  mergeStates,
  type Claim,
  type Clock,
  type ObjectState,
} from './object-state.ts'
import type { Environment } from './signature.ts'
import {
  carriesInquiryId,
  isRedactable,
  readObject,
  referencesOf,
  statusByEventName,
  type ObjectReading,
  type Reference,
  type Snapshot,
} from './snapshot.ts'

/** One object standing in an event. */
export type EventObject = {
  readonly id: string
  readonly snapshot: Snapshot
  /** The status this event tells of it, or null where it tells none. */
  readonly status: string | null
}

/** A usable event, read: what it says of every object that stands in it or is named by it. */
export type PersonaEvent = {
  readonly id: string
  readonly environment: Environment
  readonly name: string
  readonly clock: Clock
  readonly receivedAtMs: number
  readonly casing: Casing
  readonly document: JsonValue
  /** The document as JSON text that PostgreSQL can hold. */
  readonly payloadText: string
  /** The delivered bytes where `payloadText` no longer says all that they said; else null. */
  readonly originalBytes: Uint8Array | null
  /** The object in `payload.data`. */
  readonly primary: EventObject
  /** The other objects, each once. */
  readonly included: readonly EventObject[]
  /** Objects that relationships name and that do not stand in the event themselves. */
  readonly references: readonly Reference[]
  readonly claims: readonly Claim[]
  /** The inquiry this event belongs to, as far as it tells it itself. */
  readonly inquiryId: string | null
  /** Objects whose redaction this event tells: inquiries, accounts, transactions, cases. */
  readonly redactedIds: readonly string[]
  /** The inquiries among them: their redaction reaches whatever they ever claimed. */
  readonly redactedInquiryIds: readonly string[]
}

/**
 * jsonb keeps `1e131071` in a few bytes, and prints 131,072 digits. A body of 80 KB with 8,200 such numbers can't be read
 * from the log again: its text is longer than PostgreSQL gives, and no redaction or erasure could reach it.
 */
const MAX_SPELLED_OUT = 4_000_000

/** Thrown for a body that is no usable event; the ingress quarantines these, so a worker meets one only by replay. */
export class UnusableEventError extends Error {
  readonly reason: QuarantineReason | 'NUMBERS_TOO_LONG'
  constructor(reason: QuarantineReason | 'NUMBERS_TOO_LONG') {
    super(`Expected a usable event, got a body that is unusable: ${reason}`)
    this.name = 'UnusableEventError'
    this.reason = reason
  }
}

type Standing = { readonly primary: ObjectReading; readonly included: readonly ObjectReading[] }

/** The same object twice in one event: `payload.data` counts, then the first in `included`. */
function readStanding(envelope: Envelope): Standing {
  const primary = readObject(envelope.primary, envelope.casing)
  if (primary === null) throw new UnusableEventError('PAYLOAD_INVALID')
  const seen = new Set([primary.id])
  const included: ObjectReading[] = []
  for (const value of envelope.included) {
    const reading = readObject(value, envelope.casing)
    if (reading === null || seen.has(reading.id)) continue
    seen.add(reading.id)
    included.push(reading)
  }
  return { primary, included }
}

function* claimsOf({ primary, included }: Standing): Generator<Claim> {
  const standing = [primary, ...included]
  const types = new Map(standing.map((object) => [object.id, object.snapshot.type]))
  for (const object of standing) {
    for (const reference of referencesOf(object.snapshot.relationships)) {
      const isOwnWord = reference.type === 'inquiry' && carriesInquiryId(object.snapshot.type)
      if (isOwnWord) yield { objectId: object.id, inquiryId: reference.id, strength: claimStrength.byObject }
      if (object.snapshot.family !== 'inquiry') continue
      const type = types.has(reference.id) ? (types.get(reference.id) as string | null) : reference.type
      if (carriesInquiryId(type))
        yield { objectId: reference.id, inquiryId: object.id, strength: claimStrength.byInquiry }
    }
  }
  if (primary.snapshot.family !== 'inquiry') return
  for (const object of included) {
    if (carriesInquiryId(object.snapshot.type))
      yield { objectId: object.id, inquiryId: primary.id, strength: claimStrength.included }
  }
}

/** One event may name an object by several types; jsonb keeps no order of members, so the greatest counts. */
function referencesOnly({ primary, included }: Standing): readonly Reference[] {
  const standing = [primary, ...included]
  const ids = new Set(standing.map((object) => object.id))
  const references = new Map<string, Reference>()
  for (const object of standing) {
    for (const reference of referencesOf(object.snapshot.relationships)) {
      if (ids.has(reference.id)) continue
      const known = references.get(reference.id)
      if (known === undefined || known.type < reference.type) references.set(reference.id, reference)
    }
  }
  return [...references.values()]
}

function toEventObject(reading: ObjectReading): EventObject {
  return { id: reading.id, snapshot: reading.snapshot, status: reading.status }
}

function toPrimary(reading: ObjectReading, eventName: string): EventObject {
  if (!reading.lacksStatus) return toEventObject(reading)
  return { ...toEventObject(reading), status: statusByEventName(eventName, reading.snapshot.family) }
}

/** A redaction is told by a snapshot, whatever the event, or by the name of an event about the object. */
function redactionsOf({ primary, included }: Standing, eventName: string): readonly ObjectReading[] {
  const isToldByName = (object: ObjectReading): boolean =>
    object === primary && eventName === `${object.snapshot.type}.redacted`
  return [primary, ...included]
    .filter((object) => isRedactable(object.snapshot.type))
    .filter((object) => object.isRedacted || isToldByName(object))
}

function redactedIdsOf(standing: Standing, eventName: string) {
  const redacted = redactionsOf(standing, eventName)
  const inquiries = redacted.filter((object) => object.snapshot.family === 'inquiry')
  return {
    redactedIds: redacted.map((object) => object.id),
    redactedInquiryIds: inquiries.map((object) => object.id),
  }
}

function inquiryIdOf(primary: ObjectReading, claims: readonly Claim[]): string | null {
  if (primary.snapshot.family === 'inquiry') return primary.id
  const own = claims.filter((claim) => claim.objectId === primary.id)
  return own.toSorted(compareClaims).at(-1)?.inquiryId ?? null
}

function isFaithful(body: Uint8Array, json: StorableJson): boolean {
  const hasByteOrderMark = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf
  return json.isFaithful && !hasByteOrderMark && isUtf8(body)
}

function parseBody(body: Uint8Array): StorableJson {
  try {
    return parseStorable(bodyText(body))
  } catch (error) {
    if (error instanceof SyntaxError) throw new UnusableEventError('INVALID_JSON')
    throw error
  }
}

/**
 * Reads a delivered body, or a stored payload, as an event. Throws {@link UnusableEventError}.
 *
 * @see persona.md, sections 2 to 4: nothing but the envelope's required members can be relied on.
 */
export function readEvent(input: {
  readonly body: Uint8Array
  readonly environment: Environment
  readonly receivedAtMs: number
  /** Whether the body stands in the log: an older version stored documents nested beyond today's limit. Default: no. */
  readonly isStored?: boolean
}): PersonaEvent {
  const { receivedAtMs, isStored = false } = input
  const json = parseBody(input.body)
  const envelope = envelopeOf({ document: json.value, receivedAtMs, mayBeDeep: isStored })
  if (!envelope.ok) throw new UnusableEventError(envelope.reason)
  if (!isStored && json.spelledOutLength > MAX_SPELLED_OUT) throw new UnusableEventError('NUMBERS_TOO_LONG')
  const standing = readStanding(envelope)
  const claims = [...claimsOf(standing)]
  return {
    id: envelope.eventId,
    environment: input.environment,
    name: envelope.name,
    clock: { createdAtMs: envelope.createdAtMs, rank: eventRank(envelope.name), eventId: envelope.eventId },
    receivedAtMs,
    casing: envelope.casing,
    document: json.value,
    payloadText: json.text,
    originalBytes: isFaithful(input.body, json) ? null : input.body,
    primary: toPrimary(standing.primary, envelope.name),
    included: standing.included.map(toEventObject),
    references: referencesOnly(standing),
    claims,
    inquiryId: inquiryIdOf(standing.primary, claims),
    ...redactedIdsOf(standing, envelope.name),
  }
}

/** What one event tells of each object that it shows, names or claims. */
export function statesOf(event: PersonaEvent): ReadonlyMap<string, ObjectState> {
  const { clock, environment, name: eventName } = event
  const states = new Map<string, ObjectState>()
  const add = (id: string, part: Partial<ObjectState>): void => {
    const known = states.get(id) ?? emptyState(id)
    states.set(id, mergeStates(known, { ...emptyState(id), ...part }))
  }
  for (const object of [event.primary, ...event.included]) {
    const status = object.status === null ? null : { value: object.status, clock }
    add(object.id, { snapshot: { value: object.snapshot, environment, eventName, clock }, status })
  }
  for (const { id, type } of event.references) add(id, { reference: { type, environment, clock } })
  for (const claim of event.claims) add(claim.objectId, { claim: { ...claim, clock } })
  return states
}

/** Folds events, in any order, into the state of every object that they tell of. */
export function foldEvents(events: Iterable<PersonaEvent>): Map<string, ObjectState> {
  const folded = new Map<string, ObjectState>()
  for (const event of events) {
    for (const [id, state] of statesOf(event)) {
      const known = folded.get(id)
      folded.set(id, known === undefined ? state : mergeStates(known, state))
    }
  }
  return folded
}
