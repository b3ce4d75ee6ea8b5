import { Deadline } from '@persona-ingest/core'
import { eventually, freePort, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { createConsumer, type DeliveryOutcome } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'
import { Gate } from '../a-gate.ts'
import { aQueue, done, empty } from '../a-queue.ts'

async function timed<T>(work: Promise<T>): Promise<[T, number]> {
  const startedAt = performance.now()
  return [await work, performance.now() - startedAt]
}

t.test('close takes nothing more and waits for what is in flight', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, await throwAwayRedis(t))
  const gate = new Gate()
  const consumer = aConsumer(async () => (await gate.opened, { action: 'ack' }), { concurrency: 2 })
  for (let index = 0; index < 5; index += 1) await producer.enqueue(aDelivery(`evt_${index}`), new Deadline(5000))
  await eventually(() => taken.length === 2)
  const closing = timed(consumer.close({ timeoutMs: 10_000 }))
  await producer.enqueue(aDelivery('evt_late'), new Deadline(5000))
  gate.open()
  const [isFinished, afterMs] = await closing
  t.equal(isFinished, true)
  t.ok(afterMs < 2000)
  t.equal(taken.length, 2)
  t.strictSame(await producer.counts(), { ...empty, waiting: 4 }, 'nothing is left to a lock that has to run out')
})

t.test('close hands back what is released, at once', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, await throwAwayRedis(t))
  const gate = new Gate()
  const consumer = aConsumer(async () => (await gate.opened, { action: 'requeue', delayMs: 0 }))
  await producer.enqueue(aDelivery('evt_given_back'), new Deadline(5000))
  await eventually(() => taken.length === 1)
  const closing = consumer.close({ timeoutMs: 10_000 })
  gate.open()
  t.equal(await closing, true)
  t.strictSame(await producer.counts(), { ...empty, waiting: 1 })
})

t.test('close gives up at its timeout and says so; the delivery comes back elsewhere', async (t) => {
  const redis = await throwAwayRedis(t)
  const { producer, aConsumer, taken } = aQueue(t, redis, { lockDurationMs: 1000, stalledIntervalMs: 300 })
  const stuck = aConsumer(async () => await new Promise<DeliveryOutcome>(() => {}))
  await producer.enqueue(aDelivery('evt_stuck'), new Deadline(5000))
  await eventually(() => taken.length === 1)
  const [isFinished, afterMs] = await timed(stuck.close({ timeoutMs: 300 }))
  t.equal(isFinished, false)
  t.ok(afterMs < 1500)
  aConsumer(done)
  await eventually(() => taken.length === 2, { deadlineMs: 10_000 })
  t.match(taken[1], { attemptsMade: 0, stalledCount: 1 })
})

t.test('close with Redis away at the start ends soon', async (t) => {
  const consumer = createConsumer({
    maxInFlightBytes: 64_000_000,
    encryptionKeys: [],
    redisUrl: `redis://127.0.0.1:${await freePort()}`,
    concurrency: 10,
    maxAttempts: 10,
    handle: done,
  })
  consumer.start()
  t.notOk(consumer.isReady())
  const [isFinished, afterMs] = await timed(consumer.close({ timeoutMs: 20_000 }))
  t.equal(isFinished, true, 'nothing was in flight')
  t.ok(afterMs < 4000)
})

for (const fault of ['kill', 'freeze'] as const) {
  t.test(`close with nothing in flight ends soon after Redis: ${fault}`, async (t) => {
    const redis = await throwAwayRedis(t)
    const { producer, aConsumer, taken } = aQueue(t, redis)
    const consumer = aConsumer(done)
    await producer.enqueue(aDelivery('evt_before'), new Deadline(5000))
    await eventually(() => taken.length === 1 && consumer.inFlightCount() === 0)
    await redis[fault]()
    const [isFinished, afterMs] = await timed(consumer.close({ timeoutMs: 20_000 }))
    t.equal(isFinished, true)
    t.ok(afterMs < 4000, `closed after ${afterMs} ms`)
    await redis.restart()
  })

  t.test(`close with something in flight ends at its timeout after Redis: ${fault}`, async (t) => {
    const redis = await throwAwayRedis(t)
    const { producer, aConsumer, taken } = aQueue(t, redis)
    const gate = new Gate()
    const consumer = aConsumer(async () => (await gate.opened, { action: 'ack' }))
    await producer.enqueue(aDelivery('evt_held'), new Deadline(5000))
    await eventually(() => taken.length === 1)
    await redis[fault]()
    gate.open()
    const [isFinished, afterMs] = await timed(consumer.close({ timeoutMs: 1000 }))
    t.equal(isFinished, false)
    t.ok(afterMs < 3000, `closed after ${afterMs} ms`)
    await redis.restart()
  })
}

t.test('closing twice is closing once', async (t) => {
  const { aConsumer } = aQueue(t, await throwAwayRedis(t))
  const consumer = aConsumer(done)
  await eventually(() => consumer.isReady())
  t.strictSame(await Promise.all([consumer.close({ timeoutMs: 3000 }), consumer.close({ timeoutMs: 3000 })]), [
    true,
    true,
  ])
})

t.test('a consumer closed by force keeps no connection open', async (t) => {
  const redis = await throwAwayRedis(t)
  const { producer, aConsumer, taken } = aQueue(t, redis)
  const consumer = aConsumer(async () => await new Promise<DeliveryOutcome>(() => {}))
  await producer.enqueue(aDelivery('evt_stuck'), new Deadline(5000))
  await eventually(() => taken.length === 1)
  await consumer.close({ timeoutMs: 100 })
  await producer.close()
  await eventually(async () => !String(await redis.command('CLIENT', 'LIST')).includes('lib-name=ioredis'))
  t.notMatch(await redis.command('CLIENT', 'LIST'), /cmd=bzpopmin/)
})
