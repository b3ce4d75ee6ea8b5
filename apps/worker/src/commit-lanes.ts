import type { PersonaEvent } from '@persona-ingest/persona'
import { inSpan } from '@persona-ingest/service'
import type { EventStore, StoreVerdict } from './event-store.ts'
import { GroupCommit } from './group-commit.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { Outage } from './outage.ts'
import { storeBatch } from './store-batch.ts'

/** Two statements in flight keep PostgreSQL busy while the next batch is read and encoded. */
const ORDINARY_IN_FLIGHT = 2
/** Redactions wait for each other in the database anyway. */
const REDACTIONS_IN_FLIGHT = 1
/**
 * Nobody else writes while redactions do. So that one after the other does not take all the time there is, a batch of them
 * is followed by a rest of four times as long as it took, a second at most, while the next ones gather. One that comes
 * alone waits for nothing.
 */
const restOfRedactions = (tookMs: number): number => Math.min(4 * tookMs, 1_000)
const MAX_BATCH_SIZE = 200
const MAX_BATCH_CHARACTERS = 4_000_000
/** Each is a row or more; a usual batch has 1,000 to 2,000. A statement of 24,000 takes seconds, so that it goes alone. */
const MAX_BATCH_OBJECTS = 4_000

/** Batches that may be at the database at once. */
export const BATCHES_IN_FLIGHT = ORDINARY_IN_FLIGHT + REDACTIONS_IN_FLIGHT

/**
 * Makes the function that stores an event with those that are held at the same time.
 *
 * Redactions go in batches of their own: a write that redacts runs alone (ADR 2), and in a common batch all others would
 * with it. Order does not matter, so that neither has to wait for the other.
 */
export function commitLanes(options: {
  readonly store: EventStore
  readonly outage: Outage
  readonly metrics: WorkerMetrics
}): (event: PersonaEvent) => Promise<StoreVerdict> {
  const { metrics, ...context } = options
  const lane = (maxInFlight: number, restAfter?: (tookMs: number) => number): GroupCommit =>
    new GroupCommit({
      maxInFlight,
      restAfter,
      maxBatchSize: MAX_BATCH_SIZE,
      maxBatchCharacters: MAX_BATCH_CHARACTERS,
      maxBatchObjects: MAX_BATCH_OBJECTS,
      storeBatch: async (events, tell) => {
        const endTimer = metrics.batchTime.startTimer()
        await storeBatch(context, events, tell)
        endTimer()
        metrics.batchSize.observe(events.length)
      },
    })
  const ordinary = lane(ORDINARY_IN_FLIGHT)
  const redactions = lane(REDACTIONS_IN_FLIGHT, restOfRedactions)
  const laneOf = (event: PersonaEvent): GroupCommit => (event.redactedIds.length > 0 ? redactions : ordinary)
  return async (event) =>
    inSpan('commit batch', {}, async (note) => {
      const verdict = await laneOf(event).add(event)
      note(
        verdict.verdict === 'stored'
          ? { batchSize: verdict.batchSize, outcome: verdict.outcome }
          : { verdict: verdict.verdict },
      )
      return verdict
    })
}
