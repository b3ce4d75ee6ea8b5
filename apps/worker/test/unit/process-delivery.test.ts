import type { DeadLetter } from '@persona-ingest/database'
import type { Delivery, DeliveryOutcome } from '@persona-ingest/queue'
import t from 'tap'
import { InFlightDeliveries, processDelivery, reduceRequeued } from '../../src/process-delivery.ts'
import { aProcessContext, aStore } from '../fixtures/a-process-context.ts'
import { aDelivery } from '../fixtures/an-event.ts'

const ACK: DeliveryOutcome = { action: 'ack' }
const RETRY: DeliveryOutcome = { action: 'retry', reason: 'SQLSTATE XX000' }
const REQUEUE: DeliveryOutcome = { action: 'requeue', delayMs: 5 }
const never = () => new Promise<never>(() => {})
const inFlight = (delivery: Delivery, attemptsMade = 0) => ({ ...delivery, attemptsMade, stalledCount: 0 })

/** A context of which the dead letters can be read. */
function aContext() {
  const deadLetters: DeadLetter[] = []
  const store = aStore({
    storeDeadLetter: async (deadLetter) => void deadLetters.push(deadLetter),
    redactDelivery: async () => null,
  })
  return { context: aProcessContext(store), deadLetters }
}

t.test('an event that the worker fails to read for a fault of its own uses up its attempts, and no more', async (t) => {
  const { context, deadLetters } = aContext()
  const broken = { ...aDelivery(), body: [] as never }
  for (const attemptsMade of [0, 1])
    t.match(await processDelivery(context, inFlight(broken, attemptsMade)), {
      action: 'retry',
      reason: 'unexpected failure',
    })
  t.strictSame(deadLetters, [])
  t.strictSame(await processDelivery(context, inFlight(broken, 2)), ACK)
  t.match(deadLetters, [{ eventId: 'evt_1', reason: 'ATTEMPTS_EXHAUSTED', attempts: 3 }])
})

t.test('a body that is no usable event is a dead letter at once, and its memory is released', async (t) => {
  const { context, deadLetters } = aContext()
  t.strictSame(await processDelivery(context, inFlight({ ...aDelivery(), body: Buffer.from('{') })), ACK)
  t.match(deadLetters, [{ eventId: 'evt_1', reason: 'INVALID_JSON', attempts: 1 }])
  t.equal(context.memory.taken(), 0)
})

t.test('what goes back to the queue goes with the body that redactions leave', async (t) => {
  const body = Buffer.from('{}')
  const store = aStore({ redactDelivery: async () => body })
  for (const outcome of [RETRY, REQUEUE])
    t.strictSame(await reduceRequeued(store, inFlight(aDelivery()), outcome), { ...outcome, body })
})

t.test('a delivery that no redaction reaches goes back as it is', async (t) => {
  const store = aStore({ redactDelivery: async () => null })
  for (const outcome of [RETRY, REQUEUE]) t.equal(await reduceRequeued(store, inFlight(aDelivery()), outcome), outcome)
})

t.test('an acknowledged delivery does not ask the database', async (t) => {
  t.equal(await reduceRequeued(aStore(), inFlight(aDelivery()), ACK), ACK)
})

t.test('a database that is away, or does not answer, keeps no delivery from going back', async (t) => {
  const startedAt = performance.now()
  const away = aStore({ redactDelivery: async () => Promise.reject(new Error('away')) })
  t.equal(await reduceRequeued(away, inFlight(aDelivery()), REQUEUE), REQUEUE)
  t.equal(await reduceRequeued(aStore({ redactDelivery: never }), inFlight(aDelivery()), REQUEUE), REQUEUE)
  t.ok(performance.now() - startedAt < 4000)
})

t.test('an outcome passes through, and so does an error', async (t) => {
  const deliveries = new InFlightDeliveries()
  t.equal(await deliveries.track(Promise.resolve(ACK)), ACK)
  await t.rejects(deliveries.track(Promise.reject(new Error('broken'))), { message: 'broken' })
})

t.test('a shutdown requeues what is in flight, at once and without an attempt, and nothing else', async (t) => {
  const deliveries = new InFlightDeliveries()
  const finishedBefore = await deliveries.track(Promise.resolve(ACK))
  const tracked = [deliveries.track(never()), deliveries.track(never())]
  deliveries.requeueAll()
  t.strictSame(await Promise.all(tracked), [1, 2].map(() => ({ action: 'requeue', delayMs: 0 }))) // prettier-ignore
  t.equal(finishedBefore, ACK)
  t.equal(await deliveries.track(Promise.resolve(ACK)), ACK, 'what comes later is processed as before')
})

t.test('a failure after the requeue changes nothing', async (t) => {
  const deliveries = new InFlightDeliveries()
  let fail: (error: Error) => void = () => {}
  const tracked = deliveries.track(new Promise((_resolve, reject) => (fail = reject)))
  deliveries.requeueAll()
  fail(new Error('late'))
  t.match(await tracked, { action: 'requeue' })
})
