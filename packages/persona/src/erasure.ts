import { compareClocks, type Clock } from './clock.ts'
import type { EventObject, PersonaEvent } from './event.ts'
import { stringifyExact } from './json-text.ts'
import { reducePayload } from './payload-skeleton.ts'
import { skeletonOf } from './snapshot.ts'

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
