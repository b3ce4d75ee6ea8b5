import type { DeliveryOutcome, InFlightDelivery } from '@persona-ingest/queue'
import type { Logger } from '@persona-ingest/service'
import { heapBytesOf, type MemoryBudget } from './commit.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { Outage } from './outage.ts'
import { takesEvents, type EventStore } from './store-batch.ts'

/** Pause before the next try to write a dead letter that the database refused. */
const REFUSED_DELAY_MS = 5_000

/** Why a delivery becomes a dead letter, and after how many attempts. */
export type DeadLetterCause = { readonly reason: string; readonly error: string; readonly attempts: number }

export type DeadLetterContext = {
  readonly store: EventStore
  readonly outage: Outage
  readonly memory: MemoryBudget
  readonly logger: Logger
  readonly metrics: WorkerMetrics
}

/** A delivery with a body of its own, which a replay does not have. */
export type DeliveryWithBody = Exclude<InFlightDelivery, { kind: 'replay' }>

/** Keeps a delivery as a dead letter, with its body taken into account in the memory budget. */
export async function keepDeadLetter(
  context: DeadLetterContext,
  delivery: DeliveryWithBody,
  cause: DeadLetterCause,
): Promise<DeliveryOutcome> {
  const release = await context.memory.take(heapBytesOf(delivery.body))
  try {
    return await storeDeadLetter(context, delivery, cause)
  } finally {
    release()
  }
}

/**
 * Waits out outages. A dead letter that the database refuses is never dropped: the delivery is requeued with a delay, so
 * that it does not hold up others.
 */
async function storeDeadLetter(
  { store, outage, logger, metrics }: DeadLetterContext,
  { eventId, environment, body, receivedAtMs, requestId }: DeliveryWithBody,
  cause: DeadLetterCause,
): Promise<DeliveryOutcome> {
  for (;;) {
    try {
      await store.storeDeadLetter({ eventId, environment, body, receivedAtMs, ...cause })
      outage.end()
      metrics.events.inc({ outcome: 'dead', environment })
      const { reason, attempts, error: description } = cause
      logger.warn({ requestId, eventId, environment, reason, description, attempts }, 'delivery kept as a dead letter')
      return { action: 'ack' }
    } catch (error) {
      const { kind, sqlState, description } = store.failureOf(error)
      if (kind === 'event' || (await takesEvents(store))) {
        logger.error({ requestId, eventId, sqlState, description }, 'dead letter refused, trying again')
        return { action: 'requeue', delayMs: REFUSED_DELAY_MS }
      }
      if (!(await outage.wait(description))) return { action: 'requeue', delayMs: 0 }
    }
  }
}
