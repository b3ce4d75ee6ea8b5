import { Deadline } from '@persona-ingest/core'
import { eventually, freePort, halfOpenProxy, startRedis, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { createConsumer, createProducer, type InFlightDelivery, type DeliveryOutcome } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'
import { Gate } from '../a-gate.ts'
import { aQueue, done, empty } from '../a-queue.ts'

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))

t.test('Redis away at the start: the consumer waits and begins by itself', async (t) => {
  const port = await freePort()
  const taken: InFlightDelivery[] = []
  const consumer = createConsumer({
    maxInFlightBytes: 64_000_000,
    encryptionKeys: [],
    redisUrl: `redis://127.0.0.1:${port}`,
    concurrency: 10,
    maxAttempts: 10,
    handle: async (delivery) => (taken.push(delivery), { action: 'ack' }),
  })
  t.teardown(() => consumer.close({ timeoutMs: 2000 }))
  consumer.start()
  await t.rejects(consumer.probe(), { code: 'QUEUE_UNREACHABLE' })
  await t.rejects(consumer.sweepFailed(done), { code: 'QUEUE_UNREACHABLE' })
  const redis = await startRedis({ port })
  t.teardown(() => redis.stop())
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  await producer.enqueue(aDelivery('evt_first'), new Deadline(5000))
  await eventually(() => taken.length === 1, { deadlineMs: 10_000 })
})

t.test('Redis killed and back, again and again: every delivery is finished, no attempt is used up', async (t) => {
  const redis = await throwAwayRedis(t)
  const { producer, aConsumer, taken } = aQueue(t, redis, { lockDurationMs: 1500, stalledIntervalMs: 500 })
  const consumer = aConsumer(done)
  const total = 300
  for (let index = 0; index < total; index += 1) {
    await eventually(() => producer.enqueue(aDelivery(`evt_${index}`), new Deadline(5000)).then(() => true))
    if (index % 100 === 50) {
      await redis.kill()
      await redis.restart()
    }
  }
  const seen = () => new Set(taken.map((delivery) => (delivery.kind === 'event' ? delivery.eventId : ''))).size
  await eventually(() => seen() === total, { deadlineMs: 20_000 })
  await eventually(async () => consumer.inFlightCount() === 0 && (await producer.counts()).active === 0, {
    deadlineMs: 20_000,
  })
  t.strictSame(await producer.counts(), empty)
  t.ok(taken.every(({ attemptsMade }) => attemptsMade === 0))
})

for (const [fault, outage] of [
  ['freeze', 'thaw'],
  ['kill', 'restart'],
] as const) {
  t.test(`Redis ${fault}ed while deliveries are in flight: they are finished after the ${outage}`, async (t) => {
    const redis = await throwAwayRedis(t)
    const { producer, aConsumer, taken } = aQueue(t, redis, { lockDurationMs: 1500, stalledIntervalMs: 500 })
    const gate = new Gate()
    const consumer = aConsumer(async () => (await gate.opened, { action: 'ack' }))
    for (let index = 0; index < 5; index += 1) await producer.enqueue(aDelivery(`evt_${index}`), new Deadline(5000))
    await eventually(() => taken.length === 5)
    await redis[fault]()
    gate.open()
    const startedAt = performance.now()
    await eventually(() => performance.now() - startedAt > 2500)
    t.equal(consumer.inFlightCount(), 5, 'without confirmation they count as in flight')
    await redis[outage]()
    // A lock may have run out in the meantime: then it is in flight, and finished, once more.
    await eventually(async () => Object.values(await producer.counts()).every((count) => count === 0), {
      deadlineMs: 15_000,
    })
    t.ok(taken.every(({ attemptsMade }) => attemptsMade === 0))
  })
}

t.test('Redis turned into a replica while deliveries are in flight: no attempt is used up', async (t) => {
  const redis = await throwAwayRedis(t)
  const { producer, aConsumer, taken } = aQueue(t, redis, { lockDurationMs: 1500, stalledIntervalMs: 500 })
  const gate = new Gate()
  const outcomes: DeliveryOutcome[] = [
    { action: 'requeue', delayMs: 0 },
    { action: 'requeue', delayMs: 50 },
  ]
  const consumer = aConsumer(async () => (await gate.opened, outcomes.shift() ?? { action: 'ack' }))
  for (let index = 0; index < 4; index += 1) await producer.enqueue(aDelivery(`evt_${index}`), new Deadline(5000))
  await eventually(() => taken.length === 4)
  await redis.command('REPLICAOF', '127.0.0.1', await freePort())
  gate.open()
  await eventually(() =>
    producer.probe().then(
      () => false,
      () => true,
    ),
  )
  await redis.command('REPLICAOF', 'NO', 'ONE')
  await eventually(async () => consumer.inFlightCount() === 0 && (await producer.counts()).active === 0, {
    deadlineMs: 15_000,
  })
  await eventually(async () => (await producer.counts()).delayed === 0, { deadlineMs: 5000 })
  t.strictSame(await producer.counts(), empty)
  t.ok(taken.every(({ attemptsMade }) => attemptsMade === 0))
})

t.test('a peer that vanished without a word is given up, and found again', async (t) => {
  const redis = await throwAwayRedis(t)
  const proxy = await halfOpenProxy({ targetPort: redis.port })
  t.teardown(() => proxy.close())
  const taken: InFlightDelivery[] = []
  const consumer = createConsumer({
    maxInFlightBytes: 64_000_000,
    encryptionKeys: [],
    redisUrl: `redis://127.0.0.1:${proxy.port}`,
    concurrency: 10,
    maxAttempts: 10,
    handle: async (delivery) => (taken.push(delivery), { action: 'ack' }),
  })
  t.teardown(() => consumer.close({ timeoutMs: 2000 }))
  consumer.start()
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  await producer.enqueue(aDelivery('evt_before'), new Deadline(5000))
  await eventually(() => taken.length === 1)
  await proxy.silent()
  await producer.enqueue(aDelivery('evt_after'), new Deadline(5000))
  // Old connections stay deaf for ever; only new ones get through.
  await eventually(() => !consumer.isReady(), { deadlineMs: 15_000 })
  await proxy.pass()
  await eventually(() => taken.length === 2, { deadlineMs: 20_000 })
})

t.test('Redis without memory, filled to the brim, is drained by a consumer that starts then', async (t) => {
  const redis = await throwAwayRedis(t)
  const { producer, aConsumer, taken } = aQueue(t, redis)
  await redis.command('CONFIG', 'SET', 'maxmemory', '4mb')
  let accepted = 0
  try {
    for (;;) {
      await producer.enqueue(aDelivery(`evt_${accepted}`, { body: Buffer.alloc(3000, 'x') }), new Deadline(5000))
      accepted += 1
    }
  } catch (error) {
    t.match(error, { code: 'QUEUE_FULL' })
  }
  t.ok(accepted > 100)
  aConsumer(done)
  await eventually(() => taken.length === accepted, { deadlineMs: 10_000 })
  await producer.enqueue(aDelivery('evt_after'), new Deadline(5000))
})

t.test('in all of this no rejection went unhandled', async (t) => {
  t.strictSame(unhandled, [])
})
