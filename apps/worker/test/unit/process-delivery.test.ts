import { failureOf, type DeadLetter } from '@persona-ingest/database'
import type { InFlightDelivery } from '@persona-ingest/queue'
import { createLogger, createRegistry } from '@persona-ingest/service'
import t from 'tap'
import { MemoryBudget } from '../../src/commit.ts'
import { createMetrics } from '../../src/metrics.ts'
import { Outage } from '../../src/outage.ts'
import { processDelivery, type ProcessContext } from '../../src/process-delivery.ts'
import { aDelivery } from '../fixtures/an-event.ts'

function unreachable(): never {
  throw new Error('was reached')
}

/** What settles deliveries that never come to be stored as events. */
function aContext() {
  const letters: DeadLetter[] = []
  const sources = { queue: {}, readiness: {}, openDeadLetters: unreachable, driftedEvents: unreachable }
  const context = {
    store: {
      storeDeadLetter: async (letter: DeadLetter) => void letters.push(letter),
      erasureEpoch: async () => '0',
      reduceDelivery: async () => null,
      storeEvents: unreachable,
      replayEvent: unreachable,
      tryWriting: unreachable,
      tryStoring: unreachable,
      failureOf,
    },
    outage: new Outage({ draining: new AbortController().signal, onChange: () => {} }),
    memory: new MemoryBudget(1_000_000),
    commit: unreachable,
    maxAttempts: 3,
    logger: createLogger({ app: 'worker', level: 'silent' }),
    metrics: createMetrics(createRegistry(), sources as never),
  } satisfies ProcessContext
  return { context, letters }
}

t.test(
  'an event that this program fails to read for a fault of its own uses up its attempts, and no more',
  async (t) => {
    const { context, letters } = aContext()
    const broken = { ...aDelivery(), body: [] as never, stalledCount: 0 }
    const settle = (attemptsMade: number) => processDelivery(context, { ...broken, attemptsMade } as InFlightDelivery)
    for (const attemptsMade of [0, 1])
      t.match(await settle(attemptsMade), { action: 'retry', reason: 'unexpected failure' })
    t.strictSame(letters, [])
    t.strictSame(await settle(2), { action: 'ack' })
    t.match(letters, [{ eventId: 'evt_1', reason: 'ATTEMPTS_EXHAUSTED', attempts: 3 }])
  },
)
