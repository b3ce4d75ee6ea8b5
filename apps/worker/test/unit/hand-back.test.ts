import type { DeliveryOutcome } from '@persona-ingest/queue'
import t from 'tap'
import { InFlightDeliveries } from '../../src/process-delivery.ts'

const DONE: DeliveryOutcome = { action: 'ack' }

t.test('an outcome passes through, an error too', async (t) => {
  const handBack = new InFlightDeliveries()
  t.equal(await handBack.track(Promise.resolve(DONE)), DONE)
  await t.rejects(handBack.track(Promise.reject(new Error('broken'))), { message: 'broken' })
})

t.test('handing back releases what is held, at once and without an attempt, and nothing else', async (t) => {
  const handBack = new InFlightDeliveries()
  const settledBefore = await handBack.track(Promise.resolve(DONE))
  const never = new Promise<DeliveryOutcome>(() => {})
  const held = [handBack.track(never), handBack.track(never)]
  handBack.requeueAll()
  t.strictSame(await Promise.all(held), [1, 2].map(() => ({ action: 'requeue', delayMs: 0 }))) // prettier-ignore
  t.equal(settledBefore, DONE)
  t.equal(await handBack.track(Promise.resolve(DONE)), DONE, 'what comes later settles as ever')
})

t.test("what fails after it was handed back is nobody's concern", async (t) => {
  const handBack = new InFlightDeliveries()
  let fail: (error: Error) => void = () => {}
  const held = handBack.track(new Promise((_resolve, reject) => (fail = reject)))
  handBack.requeueAll()
  fail(new Error('late'))
  t.match(await held, { action: 'requeue' })
})
