import { compareClockedClaims, type ClockedClaim } from './claim.ts'
import { compareClocks, type Clock } from './clock.ts'
import type { Environment } from './environment.ts'
import type { PersonaEvent } from './event.ts'
import type { Snapshot } from './snapshot.ts'

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

function emptyState(id: string): ObjectState {
  return { id, snapshot: null, reference: null, status: null, claim: null }
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
