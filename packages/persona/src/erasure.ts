import { isLosslessNumber } from 'lossless-json'
import { countingKeys, parseTimestamp, snakeCase, type Casing } from './attributes.ts'
import { createdAtKeys } from './envelope.ts'
import type { EventObject, PersonaEvent } from './event.ts'
import { isJsonObject, newObject, own, setMember, stringifyExact, type JsonObject, type JsonValue } from './json.ts'
import { compareClocks, type Clock } from './object-state.ts'
import {
  familyOf,
  inquiryTimes,
  readId,
  readRelationships,
  readType,
  verificationTimes,
  type ObjectFamily,
  type Snapshot,
} from './snapshot.ts'

/** The newest redaction that reaches an object, its own or that of any inquiry that ever claimed it; null: none does. */
export type ErasureLookup = (objectId: string) => Clock | null

type EventIdentity = Pick<PersonaEvent, 'clock' | 'redactedIds'>

/** Tells whether the copy of an object in an event lies at or below a redaction. */
function isReached(event: EventIdentity, erasedAt: Clock | null): boolean {
  return erasedAt !== null && compareClocks(event.clock, erasedAt) <= 0
}

/** The redacting snapshot itself is stored as told: the provider has emptied it. */
function isRedactingSnapshot(event: EventIdentity, objectId: string, erasedAt: Clock | null): boolean {
  return erasedAt !== null && event.redactedIds.includes(objectId) && compareClocks(event.clock, erasedAt) === 0
}

/**
 * Decides for each object standing in an event whether its copy keeps its skeleton only.
 * In an inquiry's own events (it stands in `payload.data`) at or below its redaction that is every object, shared ones
 * included. What has no id is reduced where the object in `payload.data` is reached: it can be told apart by nothing else.
 *
 * @see docs/contract.md#11-promises for promise 6
 */
export function reducedObjectIn(
  event: EventIdentity & { readonly primary: Pick<EventObject, 'id' | 'snapshot'> },
  erasedAt: ErasureLookup,
): (objectId: string | null) => boolean {
  const { primary } = event
  const isPrimaryReached = isReached(event, erasedAt(primary.id))
  const isOwnEvent = primary.snapshot.family === 'inquiry' && isPrimaryReached
  return (objectId) => {
    if (objectId === null) return isPrimaryReached
    const erased = erasedAt(objectId)
    if (isRedactingSnapshot(event, objectId, erased)) return false
    return isOwnEvent || isReached(event, erased)
  }
}

/** Reduces an event to what erasure leaves of it; returns the same event where nothing is to go. */
export function reduceEvent(event: PersonaEvent, erasedAt: ErasureLookup): PersonaEvent {
  const isReduced = reducedObjectIn(event, erasedAt)
  const standing = [event.primary, ...event.included]
  if (!isReduced(null) && !standing.some((object) => isReduced(object.id))) return event
  const reduceObject = (object: EventObject): EventObject =>
    isReduced(object.id) ? { ...object, snapshot: skeletonOf(object.snapshot) } : object
  const document = reducePayload(event.document, { casing: event.casing, kind: 'redacted', isReduced })
  return {
    ...event,
    document,
    payloadText: stringifyExact(document),
    originalBytes: null,
    primary: reduceObject(event.primary),
    included: event.included.map(reduceObject),
  }
}

/**
 * The payload that is left of an event that has come of age: of every object that stands in it, a redacting snapshot too,
 * the ids, types, statuses, times and relationships. It goes on telling all that orders, links and redacts.
 */
export function prunedPayload({ document, casing }: PersonaEvent): string {
  return stringifyExact(reducePayload(document, { casing, kind: 'pruned', isReduced: () => true }))
}

function bareIdentifier(data: JsonObject): JsonObject {
  const id = readId(own(data, 'id'))
  const type = own(data, 'type')
  // An id without a type names no reference but fills a column (`account_id`): a rebuild must find it again.
  return Object.assign(newObject(), id === null ? {} : { ...(typeof type === 'string' && { type }), id })
}

/**
 * Plain values of a list go. Null in their place would be a value that the list did not have, and a rebuild could not
 * tell a pruned event's list from a list that was changed. Not by recursion, as `copyJson`.
 */
function bareData(data: JsonValue): JsonValue {
  if (!Array.isArray(data)) return isJsonObject(data) ? bareIdentifier(data) : null
  const bare: JsonValue[] = []
  const lists: (readonly [source: readonly JsonValue[], target: JsonValue[]])[] = [[data, bare]]
  for (let list = lists.pop(); list !== undefined; list = lists.pop()) {
    const [source, target] = list
    for (const item of source) {
      if (Array.isArray(item)) lists.push([item, target[target.push([]) - 1] as JsonValue[]])
      else if (isJsonObject(item)) target.push(bareIdentifier(item))
      else if (item === null) target.push(null)
    }
  }
  return bare
}

/** Keeps of each relationship the type and id only: what a skeleton may hold. */
export function bareRelationships(relationships: JsonObject): JsonObject {
  const bare = newObject()
  for (const name of Object.keys(relationships)) setMember(bare, name, bareData(relationships[name] as JsonValue))
  return bare
}

/** A snapshot's skeleton: all that erasure leaves of it. */
export function skeletonOf(snapshot: Snapshot): Snapshot {
  const bare = { attributes: {}, relationships: bareRelationships(snapshot.relationships) }
  if (snapshot.family === 'inquiry') return { ...snapshot, ...bare, referenceId: null, tags: [], fields: {} }
  if (snapshot.family === 'verification') return { ...snapshot, ...bare, countryCode: null, checks: [] }
  return { ...snapshot, ...bare }
}

/**
 * The attributes that may stay, beside the status: an allowlist, so that unknown ones go. They are the times that a row
 * has columns for: any other would be one of its `attributes` again when the stored payload is read anew.
 */
const SKELETON_TIMES: Readonly<Record<ObjectFamily, ReadonlySet<string>>> = {
  inquiry: new Set(inquiryTimes),
  verification: new Set(verificationTimes),
  resource: new Set(),
}

/** `redacted`: nothing that was redacted is left. `pruned`: what tells a redaction goes on telling it. */
type SkeletonKind = 'redacted' | 'pruned'

type Reduction = {
  readonly casing: Casing
  readonly kind: SkeletonKind
  readonly isReduced: (objectId: string | null) => boolean
}

function skeletonAttribute(
  family: ObjectFamily,
  name: string,
  value: JsonValue,
  kind: SkeletonKind,
): string | undefined {
  if (name === 'status' && value !== null) {
    // A status of a wrong kind tells none, and must go on hiding the one that the event's name would tell.
    return typeof value === 'string' ? value : ''
  }
  const isTime = typeof value === 'string' && parseTimestamp(value) !== null
  // Whatever is not null redacts, and what is no time may say anything.
  if (kind === 'pruned' && name === 'redacted_at' && value !== null) return isTime ? value : ''
  return isTime && SKELETON_TIMES[family].has(name) ? value : undefined
}

function skeletonAttributes(
  family: ObjectFamily,
  value: JsonValue | undefined,
  { casing, kind }: Reduction,
): JsonObject {
  if (!isJsonObject(value)) return {}
  const skeleton: JsonObject = {}
  const counting = countingKeys(value, casing)
  for (const [key, member] of Object.entries(value)) {
    const name = snakeCase(key, casing)
    const kept = skeletonAttribute(family, name, member, kind)
    // Where two keys become one name, the one that did not count must not come to count when the other goes.
    if (kept !== undefined && counting.get(name) === key) skeleton[key] = kept
  }
  return skeleton
}

function pick(object: JsonObject, isKept: (key: string, value: JsonValue) => boolean): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key, value]) => isKept(key, value)))
}

function isIdentity(key: string, value: JsonValue): boolean {
  return (key === 'type' || key === 'id') && (isLosslessNumber(value) || (value !== null && typeof value !== 'object'))
}

function skeletonRelationships(value: JsonValue | undefined, casing: Casing): JsonObject {
  if (!isJsonObject(value)) return {}
  const skeleton: JsonObject = Object.create(null)
  for (const name of Object.keys(value)) {
    const read = readRelationships({ relation: value[name] as JsonValue }, casing)
    skeleton[name] = { data: bareRelationships(read)['relation'] as JsonValue }
  }
  return skeleton
}

function reduceObject(value: JsonValue, reduction: Reduction): JsonValue {
  if (!isJsonObject(value)) return null
  const family = familyOf(readType(own(value, 'type')))
  return {
    ...pick(value, isIdentity),
    attributes: skeletonAttributes(family, own(value, 'attributes'), reduction),
    relationships: skeletonRelationships(own(value, 'relationships'), reduction.casing),
  }
}

function reduceCopy(value: JsonValue, reduction: Reduction): JsonValue {
  const id = isJsonObject(value) ? readId(own(value, 'id')) : null
  return reduction.isReduced(id) ? reduceObject(value, reduction) : value
}

/**
 * Reduces the copies of objects in a stored payload, in the payload's own casing. Where the object in `payload.data`
 * goes, so does all of the envelope but the event's id, type, name and time.
 */
export function reducePayload(document: JsonValue, reduction: Reduction): JsonValue {
  const { casing, isReduced } = reduction
  const envelope = own(document as JsonObject, 'data') as JsonObject
  const attributes = own(envelope, 'attributes') as JsonObject
  const payload = own(attributes, 'payload') as JsonObject
  const primary = own(payload, 'data') as JsonObject
  const included = own(payload, 'included')
  const reducedPayload: JsonObject = { data: reduceCopy(primary, reduction) }
  if (Array.isArray(included)) reducedPayload['included'] = included.map((copy) => reduceCopy(copy, reduction))
  if (!isReduced(readId(own(primary, 'id')))) {
    const whole = { ...attributes, payload: { ...payload, ...reducedPayload } }
    return { ...(document as JsonObject), data: { ...envelope, attributes: whole } }
  }
  return {
    data: {
      ...pick(envelope, isIdentity),
      attributes: {
        ...pick(attributes, (key) => key === 'name' || key === createdAtKeys[casing]),
        payload: reducedPayload,
      },
    },
  }
}
