/**
 * The total order of events: `(event_created_at, event_rank, event_id)`.
 *
 * Time decides; the rank orders exact ties of time only, and never beats it: an expired inquiry can be resumed and a
 * decision revised.
 */
export type Clock = { readonly createdAtMs: number; readonly rank: number; readonly eventId: string }

/**
 * What ties of time are ordered by; a name that is not listed has rank 0.
 *
 * @see docs/contract.md#4-database-postgresql-schema-public
 */
const RANKS: ReadonlyMap<string, number> = new Map([
  ['inquiry.created', 1],
  ['inquiry.started', 2],
  ['inquiry.transitioned', 3],
  ['inquiry.completed', 4],
  ['inquiry.failed', 4],
  ['inquiry.expired', 4],
  ['inquiry.marked-for-review', 5],
  ['inquiry.approved', 6],
  ['inquiry.declined', 6],
  ['inquiry.redacted', 7],
  ['verification.created', 1],
  ['verification.submitted', 2],
  ['verification.passed', 4],
  ['verification.failed', 4],
  ['verification.requires-retry', 4],
  ['verification.canceled', 4],
  ['verification.skipped', 4],
])

/** The rank of an event name among events of the same millisecond, 0 to 7. */
export function eventRank(name: string): number {
  return RANKS.get(name) ?? 0
}

/** Compares two texts byte by byte in UTF-8, as PostgreSQL's `COLLATE "C"` does; JavaScript's `<` differs past U+FFFF. */
export function compareBytes(left: string, right: string): number {
  return left === right ? 0 : Buffer.compare(Buffer.from(left), Buffer.from(right))
}

/** Negative where `left` is older by the total order, 0 for the same event, positive where it is newer. */
export function compareClocks(left: Clock, right: Clock): number {
  return left.createdAtMs - right.createdAtMs || left.rank - right.rank || compareBytes(left.eventId, right.eventId)
}
