import { isLosslessNumber } from 'lossless-json'
import { countingKeys, parseTimestamp, snakeCase, type Casing } from './attributes.ts'
import { createdAtKeys } from './envelope.ts'
import { columnKinds, snapshotColumns, timeColumns, type ColumnValue, type ObjectFamily } from './columns.ts'
import type { EventObject, PersonaEvent } from './event.ts'
import { isJsonObject, newObject, own, setMember, stringifyExact, type JsonObject, type JsonValue } from './json.ts'
import { compareClocks, type Clock } from './last-write-wins.ts'
import { familyOf, readId, readRelationships, readType, type Snapshot } from './snapshot.ts'

/** Returns the clock of the newest redaction of an object or of any inquiry that ever claimed it; null for none. */
export type RedactionLookup = (objectId: string) => Clock | null

type EventIdentity = Pick<PersonaEvent, 'clock' | 'redactedIds'>

/** Tells whether an event is not newer than a redaction. */
function isReached(event: EventIdentity, redactedAt: Clock | null): boolean {
  return redactedAt !== null && compareClocks(event.clock, redactedAt) <= 0
}

/** Tells whether an event's snapshot announced the redaction. It is stored whole: the provider has emptied it. */
function isRedactingSnapshot(event: EventIdentity, objectId: string, redactedAt: Clock | null): boolean {
  return redactedAt !== null && event.redactedIds.includes(objectId) && compareClocks(event.clock, redactedAt) === 0
}

/**
 * Returns a function that tells whether an object of the event keeps its skeleton only. In an inquiry's own events (it
 * is `payload.data`) up to its redaction, every object is reduced, shared ones included. An object without id is reduced
 * together with `payload.data`.
 *
 * @see docs/contract.md#11-promises for promise 6
 */
export function reducedObjectIn(
  event: EventIdentity & { readonly primary: Pick<EventObject, 'id' | 'snapshot'> },
  redactedAt: RedactionLookup,
): (objectId: string | null) => boolean {
  const { primary } = event
  const isPrimaryReached = isReached(event, redactedAt(primary.id))
  const isOwnEvent = primary.snapshot.family === 'inquiry' && isPrimaryReached
  return (objectId) => {
    if (objectId === null) return isPrimaryReached
    const clock = redactedAt(objectId)
    if (isRedactingSnapshot(event, objectId, clock)) return false
    return isOwnEvent || isReached(event, clock)
  }
}

/** Reduces an event to what redactions leave of it. Returns the same event where they remove nothing. */
export function reduceEvent(event: PersonaEvent, redactedAt: RedactionLookup): PersonaEvent {
  const isReduced = reducedObjectIn(event, redactedAt)
  const objects = [event.primary, ...event.included]
  if (!isReduced(null) && !objects.some((object) => isReduced(object.id))) return event
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
 * Returns the payload of an event after its retention time: ids, types, statuses, times and relationships of all its
 * objects. Order, claims and redactions can still be derived from it.
 */
export function prunedPayload({ document, casing }: PersonaEvent): string {
  return stringifyExact(reducePayload(document, { casing, kind: 'pruned', isReduced: () => true }))
}

function bareIdentifier(data: JsonObject): JsonObject {
  const id = readId(own(data, 'id'))
  const type = own(data, 'type')
  // An id without a type is not a reference but fills a column (`account_id`), which a rebuild must find again.
  return Object.assign(newObject(), id === null ? {} : { ...(typeof type === 'string' && { type }), id })
}

/**
 * Removes plain values of a list. Null in their place would be a value that the list did not have: a rebuild would
 * report a change. A list of any depth needs a loop instead of recursion.
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

/** Returns relationships with type and id only, as a skeleton may hold them. */
export function bareRelationships(relationships: JsonObject): JsonObject {
  const bare = newObject()
  for (const name of Object.keys(relationships)) setMember(bare, name, bareData(relationships[name] as JsonValue))
  return bare
}

/** Returns a snapshot's skeleton: the part that a redaction leaves. */
export function skeletonOf(snapshot: Snapshot): Snapshot {
  const columns: Record<string, ColumnValue> = { ...snapshot.columns }
  for (const { name, kind } of snapshotColumns[snapshot.family]) {
    if (columnKinds[kind].isPersonal) columns[name] = columnKinds[kind].empty
  }
  return { ...snapshot, columns, attributes: {}, relationships: bareRelationships(snapshot.relationships) }
}

/**
 * The attributes that stay besides the status; unknown ones are removed. They are the times that a row has columns for:
 * a further one would appear in the row's `attributes` when the stored payload is read again.
 */
const SKELETON_TIMES: Readonly<Record<ObjectFamily, ReadonlySet<string>>> = {
  inquiry: new Set(timeColumns('inquiry')),
  verification: new Set(timeColumns('verification')),
  resource: new Set(timeColumns('resource')),
}

/** `redacted` removes a `redacted-at` that is not a time; `pruned` keeps it, since it announces a redaction. */
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
    // A status of a wrong kind is no status, but it still prevents the status by the event's name.
    return typeof value === 'string' ? value : ''
  }
  const isTime = typeof value === 'string' && parseTimestamp(value) !== null
  // A value that is not a time may hold personal data. The empty text still announces the redaction.
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
    // Where two keys become one name, the ignored key must not count after the other one is removed.
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
 * Reduces the objects of a payload, in its own casing. Where `payload.data` is reduced, the envelope keeps the event's
 * id, type, name and time only.
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
