import { Deadline } from '@persona-ingest/core'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import type { DeliveryOutcome } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'
import { Gate } from '../a-gate.ts'
import { aQueue, done, empty } from '../a-queue.ts'

const redis = await throwAwayRedis(t)

t.test('a replay comes out as it went in, once however often it was asked for', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, redis)
  await producer.enqueueReplays(['evt_1', 'evt_2', 'evt_1'])
  await producer.enqueueReplays(['evt_2'])
  await producer.enqueueReplays([])
  t.strictSame(await producer.counts(), { ...empty, waiting: 2 })
  aConsumer(done)
  await eventually(() => taken.length === 2)
  t.strictSame(
    taken,
    ['evt_1', 'evt_2'].map((eventId) => ({ kind: 'replay', eventId, attemptsMade: 0, stalledCount: 0 })),
  )
})

t.test('a replay and a delivery of the same event do not swallow each other', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, redis)
  await producer.enqueue(aDelivery('evt_1'), new Deadline(5000))
  await producer.enqueueReplays(['evt_1'])
  aConsumer(done)
  await eventually(() => taken.length === 2)
  t.strictSame(taken.map(({ kind }) => kind).toSorted(), ['event', 'replay'])
})

t.test('a replay is in the queue until it is finished: waiting, in flight and delayed', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, redis)
  await producer.enqueueReplays(['evt_1', 'evt_2'])
  t.strictSame([...(await producer.queuedReplays(['evt_1', 'evt_2', 'evt_3']))], ['evt_1', 'evt_2'])
  const gate = new Gate()
  aConsumer(async ({ eventId, attemptsMade }): Promise<DeliveryOutcome> => {
    if (eventId === 'evt_2' && attemptsMade === 0) return { action: 'retry', reason: 'a test' }
    if (eventId === 'evt_1') await gate.opened
    return { action: 'ack' }
  })
  await eventually(async () => taken.length === 2 && (await producer.counts()).delayed === 1)
  t.strictSame([...(await producer.queuedReplays(['evt_1', 'evt_2', 'evt_3']))], ['evt_1', 'evt_2'])
  gate.open()
  await eventually(async () => (await producer.queuedReplays(['evt_1', 'evt_2'])).size === 0)
})
