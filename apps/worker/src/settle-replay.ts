import type { InFlightDelivery, DeliveryOutcome } from '@persona-ingest/queue'
import { heapBytesOf } from './memory-budget.ts'
import { defer } from './put-back.ts'
import type { SettleContext } from './settle.ts'
import { takesEvents } from './store-batch.ts'

export type HeldReplay = Extract<InFlightDelivery, { kind: 'replay' }>

const DONE: DeliveryOutcome = { action: 'ack' }
const RELEASE: DeliveryOutcome = { action: 'requeue', delayMs: 0 }

/** An attempt that was the event's own fault. It is in the log and stays there: giving up loses nothing. */
function settleFailed(context: SettleContext, held: HeldReplay, description: string): DeliveryOutcome {
  const { maxAttempts, logger, metrics } = context
  const attempts = held.attemptsMade + 1
  const { eventId } = held
  if (attempts < maxAttempts) {
    logger.warn({ eventId, attempts, description }, 'replay failed, retrying')
    metrics.retries.inc()
    return { action: 'retry', reason: description }
  }
  metrics.replays.inc({ outcome: 'failed' })
  logger.error({ eventId, attempts, description }, 'replay failed, given up; the event is in the log')
  return DONE
}

/**
 * Settles a replay: the event is read from the log, as it stands there now, and processed again. An outage costs time
 * only, and so does a key that is missing; an event that fails alone while others pass uses up its attempts.
 */
export async function settleReplay(context: SettleContext, held: HeldReplay): Promise<DeliveryOutcome> {
  const { store, outage, readBudget, logger, metrics } = context
  const { eventId } = held
  const takeMemory = async (body: Uint8Array) => await readBudget.take(heapBytesOf(body))
  const storedBefore = outage.loneFailures.stored
  for (;;) {
    try {
      const outcome = await store.replayEvent(eventId, { takeMemory })
      outage.end()
      metrics.replays.inc({ outcome })
      logger.info({ eventId, outcome }, 'event replayed')
      return DONE
    } catch (error) {
      const failure = store.failureOf(error)
      if (failure.kind === 'event') return settleFailed(context, held, failure.description)
      if (failure.kind === 'key' || (await takesEvents(store))) {
        const blame = outage.loneFailures.judge(eventId, failure, storedBefore)
        if (blame.blame === 'own') return settleFailed(context, held, failure.description)
        return defer(context, held, { failure, delayMs: blame.delayMs })
      }
      if (!(await outage.wait(failure.description))) return RELEASE
    }
  }
}
