import type { AbstractErasure, AbstractEvent, AbstractObject } from './history.ts'

/**
 * What the tables must hold after a history, written down from the documented sentences and sharing no code with the
 * product: all of it is plain "the greatest by the clock", over all events at once.
 *
 * @see docs/contract.md#4-database-postgresql-schema-public
 */
export type ExpectedRow = {
  readonly table: string
  readonly id: string
  readonly type: string | null
  readonly status: string | null
  readonly inquiryId: string | null
  readonly eventId: string | null
  /** The marked value the row shows, or null where erasure took it or none was told. */
  readonly secret: string | null
}

const ranks: Record<string, number> = {
  'inquiry.created': 1, 'inquiry.started': 2, 'inquiry.transitioned': 3, 'inquiry.approved': 6, 'inquiry.declined': 6,
  'inquiry.redacted': 7, 'verification.created': 1, 'verification.passed': 4,
} // prettier-ignore
const statuses: Record<string, string> = {
  'inquiry.created': 'created', 'inquiry.started': 'pending', 'inquiry.approved': 'approved',
  'inquiry.declined': 'declined', 'verification.created': 'initiated', 'verification.passed': 'passed',
} // prettier-ignore

function later(left: AbstractEvent, right: AbstractEvent): number {
  const rank = (event: AbstractEvent): number => ranks[event.name] ?? 0
  return (
    left.createdAtMs - right.createdAtMs ||
    rank(left) - rank(right) ||
    (left.id < right.id ? -1 : Number(left.id > right.id))
  )
}

export function tableOf(type: string): string {
  if (type === 'inquiry') return 'inquiries'
  return type.startsWith('verification') ? 'verifications' : 'resources'
}
const isLinked = (type: string): boolean =>
  /^(verification|report|document|selfie)(\/|$)|^(inquiry-)?session$/.test(type)

/** The objects standing in an event, each id once: `payload.data`, then the first in `included`. */
function standing(event: AbstractEvent): AbstractObject[] {
  const all = [event.primary, ...event.included]
  return all.filter((object, index) => all.findIndex((other) => other.id === object.id) === index)
}

type Claim = { event: AbstractEvent; object: string; inquiry: string; strength: number }

export function claimsIn(event: AbstractEvent): Claim[] {
  const objects = standing(event)
  const claims: Claim[] = []
  const typeIn = (id: string, told: string): string => objects.find((object) => object.id === id)?.type ?? told
  for (const object of objects) {
    for (const related of object.relations) {
      if (related.type === 'inquiry' && isLinked(object.type))
        claims.push({ event, object: object.id, inquiry: related.id, strength: 3 })
      if (object.type === 'inquiry' && isLinked(typeIn(related.id, related.type)))
        claims.push({ event, object: related.id, inquiry: object.id, strength: 2 })
    }
    if (object !== event.primary && event.primary.type === 'inquiry' && isLinked(object.type))
      claims.push({ event, object: object.id, inquiry: event.primary.id, strength: 1 })
  }
  return claims
}

const redactable = ['inquiry', 'account', 'transaction', 'case']

function redactionsIn(event: AbstractEvent): string[] {
  const isRedactable = (object: AbstractObject): boolean => redactable.includes(object.type)
  const named = event.name === `${event.primary.type}.redacted` && isRedactable(event.primary)
  const told = standing(event).filter((object) => isRedactable(object) && object.redactedAt !== null)
  return [...(named ? [event.primary.id] : []), ...told.map((object) => object.id)]
}

/** All that was told, by the provider and by us. */
export type History = { readonly events: readonly AbstractEvent[]; readonly erasures: readonly AbstractErasure[] }

/** An erasure is a redaction that comes after every event of its millisecond and stands in none. */
type Redaction = Pick<AbstractEvent, 'createdAtMs'> & { readonly event: AbstractEvent | null }

/** Whether an event lies at or below a redaction. */
function isReached(event: AbstractEvent, { createdAtMs, event: telling }: Redaction): boolean {
  return telling === null ? event.createdAtMs <= createdAtMs : later(event, telling) <= 0
}

function redactionsOf({ events, erasures }: History, id: string): readonly Redaction[] {
  const told = events.filter((event) => redactionsIn(event).includes(id))
  const erased = erasures.filter((erasure) => erasure.erasedId === id)
  return [
    ...told.map((event) => ({ event, createdAtMs: event.createdAtMs })),
    ...erased.map(({ createdAtMs }) => ({ event: null, createdAtMs })),
  ]
}

/** Redactions of an object itself and of every inquiry that ever claimed it. */
function reachOf(history: History, id: string): readonly Redaction[] {
  const claimers = history.events.flatMap(claimsIn).filter((claim) => claim.object === id)
  return [...new Set([id, ...claimers.map((claim) => claim.inquiry)])].flatMap((inquiry) =>
    redactionsOf(history, inquiry),
  )
}

/** Promise 6, sentence by sentence, for one copy of an object in an event. */
export function isErased(history: History, object: string, event: AbstractEvent): boolean {
  const reached = reachOf(history, object).filter((redaction) => isReached(event, redaction))
  // Itself the newest redaction, and about this very object: stored as told.
  const isRedacting = redactionsIn(event).includes(object)
  if (isRedacting && reached.every((redaction) => redaction.event === event)) return false
  if (reached.length > 0) return true
  if (event.primary.type !== 'inquiry') return false
  return reachOf(history, event.primary.id).some((redaction) => isReached(event, redaction))
}

function statusTold(event: AbstractEvent, object: AbstractObject): string | null {
  if (typeof object.status === 'string') return object.status
  if (object !== event.primary) return null
  const family =
    object.type === 'inquiry' ? 'inquiry.' : tableOf(object.type) === 'verifications' ? 'verification.' : '-'
  return event.name.startsWith(family) ? (statuses[event.name] ?? null) : null
}

function expectedRow(history: History, id: string): ExpectedRow {
  const newestFirst = history.events.toSorted((left, right) => later(right, left))
  const find = (event: AbstractEvent): AbstractObject | undefined => standing(event).find((object) => object.id === id)
  const shown = newestFirst.find((event) => find(event) !== undefined)
  const snapshot = shown && find(shown)
  const named = newestFirst
    .map((event) =>
      standing(event)
        .flatMap((object) => object.relations)
        .filter((related) => related.id === id),
    )
    .find((references) => references.length > 0)
    ?.map((related) => related.type)
    .toSorted()
    .at(-1)
  const type = snapshot?.type ?? (named as string)
  const claim = history.events
    .flatMap(claimsIn)
    .filter((told) => told.object === id)
    .toSorted(
      (left, right) =>
        later(left.event, right.event) || left.strength - right.strength || (left.inquiry < right.inquiry ? -1 : 1),
    )
    .at(-1)
  const statusEvent = newestFirst.find((event) => {
    const object = find(event)
    return object !== undefined && statusTold(event, object) !== null
  })
  const isShown = shown !== undefined && snapshot !== undefined && !isErased(history, id, shown)
  return {
    table: tableOf(type),
    id,
    type: type === 'inquiry' ? null : type,
    status: statusEvent ? statusTold(statusEvent, find(statusEvent) as AbstractObject) : null,
    inquiryId: isLinked(type) ? (claim?.inquiry ?? null) : null,
    eventId: shown?.id ?? null,
    secret: isShown ? snapshot.secret : null,
  }
}

/** Every row that the three projections must hold, in the order of their ids. */
export function expectedRows(
  events: readonly AbstractEvent[],
  erasures: readonly AbstractErasure[] = [],
): readonly ExpectedRow[] {
  const history = { events, erasures }
  const ids = new Set(
    events.flatMap(standing).flatMap((object) => [object.id, ...object.relations.map((related) => related.id)]),
  )
  return [...ids].toSorted().map((id) => expectedRow(history, id))
}

/** Reads the columns that an {@link ExpectedRow} tells, under the same names. */
export const rowsSql = `
SELECT 'inquiries' AS "table", id, NULL AS type, status, NULL AS "inquiryId", event_id AS "eventId",
  attributes->>'name_first' AS secret FROM inquiries
UNION ALL SELECT 'verifications', id, type, status, inquiry_id, event_id, attributes->>'name_first' FROM verifications
UNION ALL SELECT 'resources', id, type, status, inquiry_id, event_id, attributes->>'name_first' FROM resources`
