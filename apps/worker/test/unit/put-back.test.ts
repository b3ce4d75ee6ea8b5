import type { InFlightDelivery, DeliveryOutcome } from '@persona-ingest/queue'
import t from 'tap'
import { reduceRequeued } from '../../src/process-delivery.ts'
import { aDelivery } from '../fixtures/an-event.ts'

const held: InFlightDelivery = { ...aDelivery(), attemptsMade: 0, stalledCount: 0 }
const RETRY: DeliveryOutcome = { action: 'retry', reason: 'SQLSTATE XX000' }
const RELEASE: DeliveryOutcome = { action: 'requeue', delayMs: 5 }

const answering = (answer: () => Promise<Uint8Array | null>) => ({ reduceDelivery: answer })

t.test('what goes back goes as the erasures known leave it', async (t) => {
  const body = Buffer.from('{}')
  const store = answering(async () => body)
  for (const outcome of [RETRY, RELEASE]) t.strictSame(await reduceRequeued(store, held, outcome), { ...outcome, body })
})

t.test('what no erasure reaches goes back as it is', async (t) => {
  const store = answering(async () => null)
  for (const outcome of [RETRY, RELEASE]) t.equal(await reduceRequeued(store, held, outcome), outcome)
})

t.test('what is done does not go back', async (t) => {
  const outcome: DeliveryOutcome = { action: 'ack' }
  const store = answering(async () => (t.fail('it was asked'), null))
  t.equal(await reduceRequeued(store, held, outcome), outcome)
})

t.test('a database that is away, or does not answer, keeps nothing from going back', async (t) => {
  const startedAt = performance.now()
  const away = answering(async () => Promise.reject(new Error('away')))
  t.equal(await reduceRequeued(away, held, RELEASE), RELEASE)
  const silent = answering(async () => new Promise<never>(() => {}))
  t.equal(await reduceRequeued(silent, held, RELEASE), RELEASE)
  t.ok(performance.now() - startedAt < 4000)
})
