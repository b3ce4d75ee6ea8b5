import type { DeliveryOutcome } from '@persona-ingest/queue'
import t from 'tap'
import { HandBack } from '../../src/hand-back.ts'

const DONE: DeliveryOutcome = { action: 'ack' }

t.test('an outcome passes through, an error too', async (t) => {
  const handBack = new HandBack()
  t.equal(await handBack.settled(Promise.resolve(DONE)), DONE)
  await t.rejects(handBack.settled(Promise.reject(new Error('broken'))), { message: 'broken' })
})

t.test('handing back releases what is held, at once and without an attempt, and nothing else', async (t) => {
  const handBack = new HandBack()
  const settledBefore = await handBack.settled(Promise.resolve(DONE))
  const never = new Promise<DeliveryOutcome>(() => {})
  const held = [handBack.settled(never), handBack.settled(never)]
  handBack.handBackAll()
  t.strictSame(await Promise.all(held), [1, 2].map(() => ({ action: 'requeue', delayMs: 0 }))) // prettier-ignore
  t.equal(settledBefore, DONE)
  t.equal(await handBack.settled(Promise.resolve(DONE)), DONE, 'what comes later settles as ever')
})

t.test("what fails after it was handed back is nobody's concern", async (t) => {
  const handBack = new HandBack()
  let fail: (error: Error) => void = () => {}
  const held = handBack.settled(new Promise((_resolve, reject) => (fail = reject)))
  handBack.handBackAll()
  fail(new Error('late'))
  t.match(await held, { action: 'requeue' })
})
