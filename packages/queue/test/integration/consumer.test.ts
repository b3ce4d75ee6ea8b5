import { Deadline } from '@persona-ingest/core'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import { Queue } from 'bullmq'
import t from 'tap'
import type { Delivery, InFlightDelivery, DeliveryOutcome } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'
import { Gate } from '../a-gate.ts'
import { aQueue, done, empty } from '../a-queue.ts'

const redis = await throwAwayRedis(t)

const bodyOf = (taken: Delivery | InFlightDelivery) => ('body' in taken ? taken.body : [])
const plain = (taken: Delivery | InFlightDelivery) => ({ ...taken, body: Buffer.from(bodyOf(taken)).toString('hex') })

t.test('a delivery comes out as it went in, and leaves nothing behind when it is done', async (t) => {
  const { producer, aConsumer, taken, key } = aQueue(t, redis)
  const sent: Delivery[] = [
    aDelivery('evt_text', { body: Buffer.from('{"name":"Zoë 花子 \u0000"}'), requestId: 'req-1' }),
    aDelivery('evt_bytes', { body: new Uint8Array([0, 255, 254, 10]) }),
    {
      kind: 'quarantined',
      reason: 'EVENT_NAME_INVALID',
      eventId: 'evt_odd',
      environment: 'production',
      receivedAtMs: 5,
      body: Buffer.from('{}'),
    },
  ]
  for (const delivery of sent) await producer.enqueue(delivery, new Deadline(5000))
  const consumer = aConsumer(done)
  await eventually(async () => taken.length === 3 && consumer.inFlightCount() === 0)
  t.strictSame(
    taken.map(plain),
    sent.map((delivery) => ({ ...plain(delivery), attemptsMade: 0, stalledCount: 0 })),
  )
  t.strictSame(await consumer.counts(), empty)
  t.equal(await redis.command('EXISTS', key('e-evt_text')), 0)
})

t.test('a retry uses up an attempt and rests', async (t) => {
  const { producer, aConsumer, taken, key } = aQueue(t, redis)
  aConsumer(async ({ attemptsMade }) =>
    attemptsMade < 2 ? { action: 'retry', reason: 'SQLSTATE XX000' } : { action: 'ack' },
  )
  await producer.enqueue(aDelivery('evt_retry'), new Deadline(5000))
  await eventually(() => taken.length === 1)
  await eventually(async () => (await producer.counts()).delayed === 1)
  t.equal(await redis.command('HGET', key('e-evt_retry'), 'failedReason'), 'SQLSTATE XX000')
  await producer.enqueue(aDelivery('evt_retry'), new Deadline(5000))
  t.strictSame(await producer.counts(), { ...empty, delayed: 1 }, 'a redelivery of a resting delivery adds nothing')
  const startedAt = performance.now()
  await eventually(() => taken.length === 3, { deadlineMs: 10_000 })
  t.ok(performance.now() - startedAt > 2000, 'it rested for one and for two seconds')
  t.strictSame(
    taken.map(({ attemptsMade }) => attemptsMade),
    [0, 1, 2],
  )
  await eventually(async () => (await producer.counts()).active === 0)
  t.strictSame(await producer.counts(), empty)
})

t.test('a release uses up no attempt, with and without a rest', async (t) => {
  const { producer, aConsumer, taken, errors } = aQueue(t, redis)
  const delaysMs = [0, 0, 0, 20, 20, 0, 50]
  aConsumer(async () => {
    const delayMs = delaysMs[taken.length - 1]
    return delayMs === undefined ? { action: 'ack' } : { action: 'requeue', delayMs }
  })
  await producer.enqueue(aDelivery('evt_release'), new Deadline(5000))
  await eventually(() => taken.length === delaysMs.length + 1, { deadlineMs: 15_000 })
  t.ok(taken.every(({ attemptsMade }) => attemptsMade === 0))
  await eventually(async () => (await producer.counts()).active === 0)
  t.strictSame(await producer.counts(), empty)
  t.strictSame(errors, [])
})

const newBody = Buffer.from([0xff, 0x00, 0x7b])
for (const back of [
  { action: 'retry', reason: 'SQLSTATE XX000', body: newBody },
  { action: 'requeue', delayMs: 0, body: newBody },
  { action: 'requeue', delayMs: 1, body: newBody },
] satisfies DeliveryOutcome[]) {
  t.test(`a ${back.action} may leave another body in the queue; all else stays`, async (t) => {
    const { producer, aConsumer, taken, key, errors } = aQueue(t, redis)
    const received = {
      environment: 'production',
      receivedAtMs: 7,
      requestId: 'req-1',
      body: Buffer.from('secret'),
    } as const
    const sent: Delivery[] = [
      { kind: 'event', eventId: 'evt_1', ...received },
      { kind: 'quarantined', reason: 'INVALID_JSON', eventId: null, ...received },
    ]
    const gate = new Gate()
    aConsumer(async (delivery) =>
      'body' in delivery && delivery.body.length > 3 ? back : (await gate.opened, { action: 'ack' }),
    )
    for (const delivery of sent) await producer.enqueue(delivery, new Deadline(5000))
    await eventually(() => taken.length === 4, { deadlineMs: 10_000 })
    for (const delivery of sent)
      t.match(
        taken.findLast(({ kind }) => kind === delivery.kind),
        { ...delivery, body: new Uint8Array(newBody) },
      )
    const keys = ((await redis.command('KEYS', key('*'))) as string[]).filter((name) => /:[eq]-[^:]+$/.test(name))
    t.equal(keys.length, 2)
    const jobs = await Promise.all(keys.map((name) => redis.command('HGETALL', name)))
    t.notMatch(JSON.stringify(jobs), 'secret')
    gate.open()
    await eventually(async () => (await producer.counts()).active === 0)
    t.strictSame(await producer.counts(), empty)
    t.strictSame(errors, [])
  })
}

t.test('a handler that throws uses up an attempt, and what it said is not kept', async (t) => {
  const { producer, aConsumer, taken, errors, key } = aQueue(t, redis)
  aConsumer(async ({ attemptsMade }) => {
    if (attemptsMade === 0) throw new TypeError('invalid input for Mallory Markwell')
    return { action: 'ack' }
  })
  await producer.enqueue(aDelivery('evt_throws'), new Deadline(5000))
  await eventually(async () => (await producer.counts()).delayed === 1)
  const kept = JSON.stringify(await redis.command('HGETALL', key('e-evt_throws')))
  t.match(kept, /HANDLER_THREW TypeError/)
  t.notMatch(kept + errors.map((error) => `${error.message} ${error.stack}`).join(' '), /Markwell/)
  t.match(errors[0]?.message, /TypeError/)
  await eventually(() => taken.length === 2)
})

t.test('as many deliveries are in flight at once as were asked for, and no more', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, redis)
  const gate = new Gate()
  const consumer = aConsumer(async () => (await gate.opened, { action: 'ack' }), { concurrency: 7 })
  for (let index = 0; index < 20; index += 1) await producer.enqueue(aDelivery(`evt_${index}`), new Deadline(5000))
  await eventually(() => consumer.inFlightCount() === 7)
  t.strictSame(await consumer.counts(), { ...empty, waiting: 13, active: 7 })
  t.equal(taken.length, 7)
  const before = consumer.lastFinishedAtMs()
  gate.open()
  await eventually(async () => taken.length === 20 && consumer.inFlightCount() === 0)
  t.ok(consumer.lastFinishedAtMs() >= before)
  t.strictSame(await consumer.counts(), empty)
})

t.test('a delivery that takes longer than its lock is in flight in one process alone', async (t) => {
  const { producer, aConsumer, taken } = aQueue(t, redis, { lockDurationMs: 600, stalledIntervalMs: 200 })
  const gate = new Gate()
  const consumers = [1, 2].map(() => aConsumer(async () => (await gate.opened, { action: 'ack' })))
  await producer.enqueue(aDelivery('evt_long'), new Deadline(5000))
  await eventually(() => taken.length === 1)
  const startedAt = performance.now()
  await eventually(() => performance.now() - startedAt > 2500)
  gate.open()
  await eventually(() => consumers.every((consumer) => consumer.inFlightCount() === 0))
  t.equal(taken.length, 1)
})

t.test('a job that this program can not read is put back, reported, and harms no other', async (t) => {
  const unreadable: string[][] = []
  const { prefix, producer, aConsumer, taken, key } = aQueue(t, redis, {
    onUnreadable: (jobId, reason) => unreadable.push([jobId, reason]),
  })
  const queue = new Queue('persona-events', { connection: { host: '127.0.0.1', port: redis.port }, prefix })
  t.teardown(() => queue.close())
  await queue.add('event', { v: 99, somethingNew: true }, { jobId: 'e-newer', attempts: 1 })
  await queue.add('event', 'nonsense', { jobId: 'e-broken', attempts: 1 })
  await producer.enqueue(aDelivery('evt_fine'), new Deadline(5000))
  aConsumer(done)
  await eventually(() => taken.length === 1 && unreadable.length === 2)
  t.strictSame(unreadable, [
    ['e-newer', 'JOB_VERSION_UNKNOWN'],
    ['e-broken', 'JOB_SHAPE_INVALID'],
  ])
  await eventually(async () => (await producer.counts()).delayed === 2)
  const dueAtMs = Number(await redis.command('ZSCORE', key('delayed'), 'e-newer')) / 0x1000
  t.ok(dueAtMs > Date.now() + 25_000 && dueAtMs < Date.now() + 31_000)
  t.equal(await redis.command('HGET', key('e-newer'), 'data'), '{"v":99,"somethingNew":true}')
})

t.test('a delivery whose lock was lost is left to whoever has it', async (t) => {
  const { producer, aConsumer, taken, errors, key } = aQueue(t, redis, {
    lockDurationMs: 60_000,
    stalledIntervalMs: 60_000,
  })
  const outcomes: DeliveryOutcome[] = [
    { action: 'ack' },
    { action: 'retry', reason: 'LATE' },
    { action: 'requeue', delayMs: 0 },
    { action: 'requeue', delayMs: 10 },
  ]
  const consumer = aConsumer(async () => {
    await redis.command('SET', key('e-evt_stolen:lock'), 'somebody else')
    return outcomes.shift() ?? { action: 'ack' }
  })
  for (let round = 0; round < 4; round += 1) {
    await producer.enqueue(aDelivery('evt_stolen'), new Deadline(5000))
    await eventually(() => taken.length === round + 1)
    await eventually(() => consumer.inFlightCount() === 0)
    t.strictSame(await producer.counts(), { ...empty, active: 1 }, 'the other one still holds it')
    t.ok(errors.length > 0)
    await redis.command('DEL', key('active'), key('e-evt_stolen'), key('e-evt_stolen:lock'))
  }
  await producer.enqueue(aDelivery('evt_next'), new Deadline(5000))
  await eventually(() => taken.length === 5)
})
