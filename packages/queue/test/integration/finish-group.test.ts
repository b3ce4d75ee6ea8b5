import { Deadline } from '@persona-ingest/core'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import type { InFlightDelivery, DeliveryOutcome } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'
import { aQueue, done, empty } from '../a-queue.ts'

const redis = await throwAwayRedis(t)

type Queue = ReturnType<typeof aQueue>

/** Enqueues events so that they share a job. */
async function enqueueTogether({ producer, key }: Queue, eventIds: readonly string[]): Promise<void> {
  await producer.probe()
  await Promise.all(eventIds.map((eventId) => producer.enqueue(aDelivery(eventId), new Deadline(5000))))
  t.equal(await redis.command('LLEN', key('wait')), 1, 'they share a job')
}

function timesTaken(taken: readonly InFlightDelivery[], eventId: string): number {
  return taken.filter((delivery) => delivery.eventId === eventId).length
}

const three = ['evt_a', 'evt_b', 'evt_c']

t.test('a group of which all is stored leaves nothing behind', async (t) => {
  const queue = aQueue(t, redis)
  await enqueueTogether(queue, three)
  t.strictSame(await queue.producer.counts(), { ...empty, waiting: 3 })
  queue.aConsumer(done)
  await eventually(() => queue.taken.length === 3)
  await eventually(async () => (await queue.producer.counts()).active === 0)
  t.strictSame(await queue.producer.counts(), empty)
})

t.test('one that fails is tried again alone, its attempt counted, while the others leave', async (t) => {
  const queue = aQueue(t, redis)
  await enqueueTogether(queue, three)
  const attempts: number[] = []
  queue.aConsumer(async ({ eventId, attemptsMade }) => {
    if (eventId !== 'evt_b') return { action: 'ack' }
    attempts.push(attemptsMade)
    return attemptsMade < 2 ? { action: 'retry', reason: 'SQLSTATE XX000' } : { action: 'ack' }
  })
  await eventually(async () => (await queue.producer.counts()).delayed === 1)
  t.strictSame(await queue.producer.counts(), { ...empty, delayed: 1 }, 'the others are gone')
  t.equal(await redis.command('EXISTS', queue.key('e-evt_b')), 1)
  const startedAt = performance.now()
  await eventually(() => attempts.length === 3, { deadlineMs: 10_000 })
  t.ok(performance.now() - startedAt > 2000, 'it rested for one and for two seconds')
  t.strictSame(attempts, [0, 1, 2], 'the attempt made in the group counts')
  t.equal(timesTaken(queue.taken, 'evt_a'), 1)
})

t.test('a group that is released as a whole comes back as a whole, at once or after its rest', async (t) => {
  for (const delayMs of [0, 30]) {
    const queue = aQueue(t, redis)
    await enqueueTogether(queue, three)
    queue.aConsumer(async ({ eventId }) =>
      timesTaken(queue.taken, eventId ?? '') === 1 ? { action: 'requeue', delayMs } : { action: 'ack' },
    )
    await eventually(() => queue.taken.length === 6)
    t.ok(queue.taken.every(({ attemptsMade }) => attemptsMade === 0))
    await eventually(async () => (await queue.producer.counts()).active === 0)
    t.strictSame(await queue.producer.counts(), empty)
  }
})

t.test('of a group that is stored in part, only the rest comes back', async (t) => {
  const queue = aQueue(t, redis)
  await enqueueTogether(queue, three)
  const outcomes: Record<string, DeliveryOutcome> = {
    evt_a: { action: 'ack' },
    evt_b: { action: 'requeue', delayMs: 0 },
    evt_c: { action: 'requeue', delayMs: 20 },
  }
  queue.aConsumer(async ({ eventId }) =>
    timesTaken(queue.taken, eventId ?? '') === 1 ? (outcomes[eventId ?? ''] as DeliveryOutcome) : { action: 'ack' },
  )
  await eventually(() => queue.taken.length === 5)
  t.equal(timesTaken(queue.taken, 'evt_a'), 1)
  t.ok(queue.taken.every(({ attemptsMade }) => attemptsMade === 0))
  await eventually(async () => (await queue.producer.counts()).active === 0)
  t.strictSame(await queue.producer.counts(), empty)
})

t.test('a group whose rest could not be put back comes back itself, with no attempt used up', async (t) => {
  const queue = aQueue(t, redis, { lockDurationMs: 600, stalledIntervalMs: 200 })
  await enqueueTogether(queue, three)
  let isRefusing = true
  queue.aConsumer(async ({ eventId }) => {
    if (eventId !== 'evt_b' || !isRefusing) return { action: 'ack' }
    await redis.command('CONFIG', 'SET', 'min-replicas-to-write', 1)
    return { action: 'retry', reason: 'SQLSTATE XX000' }
  })
  await eventually(() => queue.errors.some((error) => error.message.includes('NOREPLICAS')))
  isRefusing = false
  await redis.command('CONFIG', 'SET', 'min-replicas-to-write', 0)
  await eventually(() => timesTaken(queue.taken, 'evt_b') >= 2, { deadlineMs: 10_000 })
  t.equal(queue.taken.at(-1)?.attemptsMade, 0)
  await eventually(async () => Object.values(await queue.producer.counts()).every((count) => count === 0))
})

t.test('a worker holds few more deliveries than it was asked to, however many share a job', async (t) => {
  const queue = aQueue(t, redis)
  await queue.producer.probe()
  await Promise.all(
    Array.from({ length: 500 }, (_, index) => queue.producer.enqueue(aDelivery(`evt_${index}`), new Deadline(5000))),
  )
  let greatest = 0
  const consumer = queue.aConsumer(
    async () => {
      greatest = Math.max(greatest, consumer.inFlightCount())
      return { action: 'ack' }
    },
    { concurrency: 60 },
  )
  await eventually(() => queue.taken.length === 500)
  t.ok(greatest >= 60, `${greatest} in flight`)
  t.ok(greatest < 160, `${greatest} in flight`)
})
