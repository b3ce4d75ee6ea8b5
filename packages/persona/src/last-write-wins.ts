import type { Environment } from './signature.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * The position of an event in the total order `(event_created_at, event_rank, event_id)`. Last write wins by it: an event
 * is stale where the row holds a snapshot with a greater clock.
 *
 * The rank orders exact ties of time only: an expired inquiry can be resumed, and a decision can be revised.
 */
export type Clock = { readonly createdAtMs: number; readonly rank: number; readonly eventId: string }

/**
 * The rank of each event name; any other name has rank 0.
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

/** Returns the rank, 0 to 7, of an event name among events of the same millisecond. */
export function eventRank(name: string): number {
  return RANKS.get(name) ?? 0
}

/** Compares two texts byte by byte in UTF-8, as PostgreSQL's `COLLATE "C"`. JavaScript's `<` differs above U+FFFF. */
export function compareBytes(left: string, right: string): number {
  return left === right ? 0 : Buffer.compare(Buffer.from(left), Buffer.from(right))
}

/** Compares by the total order: negative where `left` is older, 0 for the same event, positive where it is newer. */
export function compareClocks(left: Clock, right: Clock): number {
  return left.createdAtMs - right.createdAtMs || left.rank - right.rank || compareBytes(left.eventId, right.eventId)
}

/** The strength of a claim by its place in the event; the greater number wins within one event. */
export const claimStrength = { included: 1, byInquiry: 2, byObject: 3 } as const
export type ClaimStrength = (typeof claimStrength)[keyof typeof claimStrength]

/** A statement of one event that an object belongs to an inquiry. */
export type Claim = {
  readonly objectId: string
  readonly inquiryId: string
  readonly strength: ClaimStrength
}
export type ClockedClaim = Claim & { readonly clock: Clock }

/** Orders the claims of one event by strength, then by inquiry id; the greatest wins. */
export function compareClaims(left: Claim, right: Claim): number {
  return left.strength - right.strength || compareBytes(left.inquiryId, right.inquiryId)
}

/** Orders claims of several events by the clock; the newest wins. */
export function compareClockedClaims(left: ClockedClaim, right: ClockedClaim): number {
  return compareClocks(left.clock, right.clock) || compareClaims(left, right)
}

type Clocked<T> = T & { readonly clock: Clock }

/**
 * The state of one object; each part has the clock of the event that reported it.
 *
 * A merge of two states takes the newer of each part. It is commutative, associative and idempotent, so that any order,
 * repetition and grouping of events ends in the same state.
 */
export type ObjectState = {
  readonly id: string
  /** The newest snapshot: the values of the row. */
  readonly snapshot: Clocked<{
    readonly value: Snapshot
    readonly environment: Environment
    readonly eventName: string
  }> | null
  /** The newest reference by relationship: the row's type and environment while there is no snapshot. */
  readonly reference: Clocked<{ readonly type: string; readonly environment: Environment }> | null
  /** The newest status. A newer snapshot without a status leaves it. */
  readonly status: Clocked<{ readonly value: string }> | null
  /** The newest claim of an inquiry for the object. */
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

/** Merges two states of one object; of each part the newer one wins. */
export function mergeStates(left: ObjectState, right: ObjectState): ObjectState {
  return {
    id: left.id,
    snapshot: newer(left.snapshot, right.snapshot),
    reference: newer(left.reference, right.reference),
    status: newer(left.status, right.status),
    claim: newerClaim(left.claim, right.claim),
  }
}

/** Returns the state of an object before any event. */
export function emptyState(id: string): ObjectState {
  return { id, snapshot: null, reference: null, status: null, claim: null }
}
