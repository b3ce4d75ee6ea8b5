import { Deadline } from '@persona-ingest/core'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aDelivery } from '../a-delivery.ts'
import { Gate } from '../a-gate.ts'
import { aQueue, done } from '../a-queue.ts'

const redis = await throwAwayRedis(t)
const MAX_BYTES = 12_000_000
const large = (id: string, bytes: number) => aDelivery(id, { body: Buffer.alloc(bytes, 'x') })

t.test(
  'no more bytes are in flight than the limit says, also where small jobs make room for large ones at once',
  async (t) => {
    const { producer, aConsumer, taken } = aQueue(t, redis)
    // Each in a job of its own: one is enqueued after the other.
    for (let index = 0; index < 40; index += 1)
      await producer.enqueue(aDelivery(`evt_small_${index}`), new Deadline(5000))
    for (let index = 0; index < 30; index += 1)
      await producer.enqueue(large(`evt_large_${index}`, 2_000_000), new Deadline(5000))
    const gate = new Gate()
    let most = 0
    const consumer = aConsumer(
      async (delivery) => {
        if (delivery.eventId?.startsWith('evt_small') === true) await gate.opened
        most = Math.max(most, consumer.inFlightBytes())
        return await done()
      },
      { concurrency: 40, maxInFlightBytes: MAX_BYTES },
    )
    await eventually(() => taken.length === 40)
    gate.open()
    await eventually(async () => {
      most = Math.max(most, consumer.inFlightBytes())
      return Object.values(await producer.counts()).every((count) => count === 0)
    })
    t.equal(taken.length, 70)
    t.ok(most > 2_000_000 && most <= MAX_BYTES, `${most} bytes at most`)
    t.equal(consumer.inFlightBytes(), 0)
  },
)

t.test('a job larger than the limit is in flight alone', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, redis)
  for (let index = 0; index < 6; index += 1)
    await producer.enqueue(large(`evt_${index}`, 2_000_000), new Deadline(5000))
  let atOnce = 0
  let most = 0
  const consumer = aConsumer(
    async () => {
      most = Math.max(most, (atOnce += 1))
      await new Promise((resolve) => setImmediate(resolve))
      t.equal(consumer.inFlightCount(), 1)
      atOnce -= 1
      return await done()
    },
    { concurrency: 40, maxInFlightBytes: 1_000_000 },
  )
  await eventually(() => taken.length === 6)
  t.equal(most, 1)
})

t.test('small jobs are in flight side by side again after a job larger than the limit', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, redis)
  const gate = new Gate()
  const consumer = aConsumer(
    async (delivery) => {
      if (delivery.eventId !== 'evt_large') await gate.opened
      return await done()
    },
    { concurrency: 20, maxInFlightBytes: 8_000_000 },
  )
  await producer.enqueue(large('evt_large', 9_000_000), new Deadline(5000))
  await eventually(() => taken.length === 1 && consumer.inFlightCount() === 0)
  for (let index = 0; index < 20; index += 1)
    await producer.enqueue(aDelivery(`evt_small_${index}`), new Deadline(5000))
  await eventually(() => consumer.inFlightCount() === 20)
  gate.open()
  await eventually(() => taken.length === 21 && consumer.inFlightCount() === 0)
})
