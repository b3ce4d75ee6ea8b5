import type { Environment } from './signature.ts'
import type { Snapshot } from './snapshot.ts'

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

/** How an event says that an object belongs to an inquiry; the greater number counts within one event. */
export const claimStrength = { included: 1, byInquiry: 2, byObject: 3 } as const
export type ClaimStrength = (typeof claimStrength)[keyof typeof claimStrength]

/** One event's word that an object belongs to an inquiry. */
export type Claim = {
  readonly objectId: string
  readonly inquiryId: string
  readonly strength: ClaimStrength
}
export type ClockedClaim = Claim & { readonly clock: Clock }

/** Orders the claims of one event: the object's own word, then the inquiry's, then `included`; then the greater id. */
export function compareClaims(left: Claim, right: Claim): number {
  return left.strength - right.strength || compareBytes(left.inquiryId, right.inquiryId)
}

/** Orders claims of all events: the newest by the clock counts. */
export function compareClockedClaims(left: ClockedClaim, right: ClockedClaim): number {
  return compareClocks(left.clock, right.clock) || compareClaims(left, right)
}

type Clocked<T> = T & { readonly clock: Clock }

/**
 * All that is known of one object, each part with the clock of the event that told it.
 *
 * Merging two states takes the newer of each part: it is commutative, associative and idempotent, so any order,
 * repetition and grouping of events ends in the same state.
 */
export type ObjectState = {
  readonly id: string
  /** The newest snapshot: the row's values. */
  readonly snapshot: Clocked<{
    readonly value: Snapshot
    readonly environment: Environment
    readonly eventName: string
  }> | null
  /** The newest reference by name alone: the row's type and environment as long as there is no snapshot. */
  readonly reference: Clocked<{ readonly type: string; readonly environment: Environment }> | null
  /** The newest status told; a newer snapshot that tells none leaves it. */
  readonly status: Clocked<{ readonly value: string }> | null
  /** The newest word on which inquiry the object belongs to. */
  readonly claim: ClockedClaim | null
}

function newer<T extends { readonly clock: Clock }>(left: T | null, right: T | null): T | null {
  if (left === null || right === null) return left ?? right
  return compareClocks(left.clock, right.clock) >= 0 ? left : right
}

function newerClaim(left: ClockedClaim | null, right: ClockedClaim | null): ClockedClaim | null {
  if (left === null || right === null) return left ?? right
  return compareClockedClaims(left, right) >= 0 ? left : right
}

/** Merges what is known of one object from two sides. */
export function mergeStates(left: ObjectState, right: ObjectState): ObjectState {
  return {
    id: left.id,
    snapshot: newer(left.snapshot, right.snapshot),
    reference: newer(left.reference, right.reference),
    status: newer(left.status, right.status),
    claim: newerClaim(left.claim, right.claim),
  }
}

export function emptyState(id: string): ObjectState {
  return { id, snapshot: null, reference: null, status: null, claim: null }
}
