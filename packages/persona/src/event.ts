import { isUtf8 } from 'node:buffer'
import { CodedError } from '@persona-ingest/core'
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
} from './last-write-wins.ts'
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

/** One object of an event. */
export type EventObject = {
  readonly id: string
  readonly snapshot: Snapshot
  /** The status that this event gives the object, or null. */
  readonly status: string | null
}

/** A usable event: the objects in it, the references to others, and the claims between them. */
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
  /** The delivered bytes where `payloadText` lost something of them; else null. */
  readonly originalBytes: Uint8Array | null
  /** The object in `payload.data`. */
  readonly primary: EventObject
  /** The other objects, each once. */
  readonly included: readonly EventObject[]
  /** Objects that relationships name and that the event does not contain. */
  readonly references: readonly Reference[]
  readonly claims: readonly Claim[]
  /** The inquiry that this event belongs to, as far as the event itself tells. */
  readonly inquiryId: string | null
  /** Objects whose redaction this event announces: inquiries, accounts, transactions, cases. */
  readonly redactedIds: readonly string[]
  /** The inquiries among them; their redaction extends to all objects that they ever claimed. */
  readonly redactedInquiryIds: readonly string[]
}

/**
 * jsonb stores `1e131071` in a few bytes and prints 131,072 digits. With 8,200 such numbers in a body of 80 KB, the text
 * exceeds PostgreSQL's limit: the event could not be read or redacted any more.
 */
const MAX_SPELLED_OUT = 4_000_000

type UnusableReason = QuarantineReason | 'NUMBERS_TOO_LONG'

/**
 * Reports a body that is not a usable event. `code` and `reason` are the same reason of docs/errors.md. The ingress
 * quarantines such bodies, so that the worker sees them only in jobs and rows of an older version.
 */
export class UnusableEventError extends CodedError<UnusableReason> {
  override readonly name = 'UnusableEventError'

  constructor(reason: UnusableReason) {
    super(reason, `Expected a usable event, got a body that is unusable: ${reason}`)
  }

  get reason(): UnusableReason {
    return this.code
  }
}

type ObjectReadings = { readonly primary: ObjectReading; readonly included: readonly ObjectReading[] }

/** Reads each object once: of copies with one id, `payload.data` counts, then the first in `included`. */
function readObjects(envelope: Envelope): ObjectReadings {
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

function* claimsOf({ primary, included }: ObjectReadings): Generator<Claim> {
  const objects = [primary, ...included]
  const types = new Map(objects.map((object) => [object.id, object.snapshot.type]))
  for (const object of objects) {
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

/** Returns the objects that are only named. Of several types for one id the greatest counts: jsonb keeps no order. */
function referencesOnly({ primary, included }: ObjectReadings): readonly Reference[] {
  const objects = [primary, ...included]
  const ids = new Set(objects.map((object) => object.id))
  const references = new Map<string, Reference>()
  for (const object of objects) {
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

/** Returns the objects that are redacted by their snapshot or by an event `<type>.redacted` about them. */
function redactionsOf({ primary, included }: ObjectReadings, eventName: string): readonly ObjectReading[] {
  const isAnnounced = (object: ObjectReading): boolean =>
    object === primary && eventName === `${object.snapshot.type}.redacted`
  return [primary, ...included]
    .filter((object) => isRedactable(object.snapshot.type))
    .filter((object) => object.isRedacted || isAnnounced(object))
}

function redactedIdsOf(objects: ObjectReadings, eventName: string) {
  const redacted = redactionsOf(objects, eventName)
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
 * Reads a delivered body, or a stored payload, as an event. Only the envelope's required members are relied on.
 * `receivedAtMs` is in Unix milliseconds. Throws {@link UnusableEventError}.
 *
 * @see docs/persona.md
 */
export function readEvent(input: {
  readonly body: Uint8Array
  readonly environment: Environment
  readonly receivedAtMs: number
  /** Whether the body is from the event log, which may exceed today's limits. Default: false. */
  readonly isStored?: boolean
}): PersonaEvent {
  const { receivedAtMs, isStored = false } = input
  const json = parseBody(input.body)
  const envelope = envelopeOf({ document: json.value, receivedAtMs, mayBeDeep: isStored })
  if (!envelope.ok) throw new UnusableEventError(envelope.reason)
  if (!isStored && json.spelledOutLength > MAX_SPELLED_OUT) throw new UnusableEventError('NUMBERS_TOO_LONG')
  const objects = readObjects(envelope)
  const claims = [...claimsOf(objects)]
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
    primary: toPrimary(objects.primary, envelope.name),
    included: objects.included.map(toEventObject),
    references: referencesOnly(objects),
    claims,
    inquiryId: inquiryIdOf(objects.primary, claims),
    ...redactedIdsOf(objects, envelope.name),
  }
}

/** Returns the state, by id, of each object that one event contains, names or claims. */
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

/** Merges events, in any order, into the states of their objects by id. */
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

/** Returns every id that events touch, sorted: all writers lock rows in one order. */
export function batchIds(events: readonly PersonaEvent[]): {
  readonly eventIds: readonly string[]
  readonly objectIds: readonly string[]
  readonly inquiryIds: readonly string[]
} {
  const objectIds = new Set<string>()
  const inquiryIds = new Set<string>()
  for (const event of events) {
    for (const object of [event.primary, ...event.included]) {
      objectIds.add(object.id)
      if (object.snapshot.family === 'inquiry') inquiryIds.add(object.id)
    }
    for (const reference of event.references) objectIds.add(reference.id)
    for (const claim of event.claims) inquiryIds.add(claim.inquiryId)
  }
  return {
    eventIds: events.map((event) => event.id).toSorted(),
    objectIds: [...objectIds].toSorted(),
    inquiryIds: [...inquiryIds].toSorted(),
  }
}
