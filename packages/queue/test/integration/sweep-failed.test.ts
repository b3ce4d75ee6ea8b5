import { Deadline, NO_KEYS } from '@persona-ingest/core'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import { Queue, Worker } from 'bullmq'
import t from 'tap'
import type { InFlightDelivery } from '../../src/index.ts'
import { writeJobData } from '../../src/job-data.ts'
import { aDelivery } from '../a-delivery.ts'
import { aQueue, done, empty } from '../a-queue.ts'

const redis = await throwAwayRedis(t)
const connection = { host: '127.0.0.1', port: redis.port }

/** Lets BullMQ fail jobs in its own way, which our consumer never does. */
async function failJobs(prefix: string, jobs: readonly { jobId: string; data: unknown }[]): Promise<void> {
  const queue = new Queue('persona-events', { connection, prefix })
  for (const { jobId, data } of jobs) await queue.add('event', data, { jobId, attempts: 1 })
  const worker = new Worker(
    'persona-events',
    async () => {
      throw new Error('job stalled more than allowable limit')
    },
    { connection, prefix },
  )
  await eventually(async () => (await queue.getFailedCount()) === jobs.length)
  await worker.close()
  await queue.close()
}

t.test('a failed job is handed over with its reason, removed, and its event can come again', async (t) => {
  const { prefix, producer, aConsumer, taken } = aQueue(t, redis)
  const body = Buffer.from('{"kept":true}')
  await failJobs(prefix, [{ jobId: 'e-evt_failed', data: writeJobData(aDelivery('evt_failed', { body }), 0, NO_KEYS) }])
  await producer.enqueue(aDelivery('evt_failed'), new Deadline(5000))
  t.strictSame(await producer.counts(), { ...empty, failed: 1 }, 'a failed job swallows its redelivery')

  const consumer = aConsumer(done)
  const swept: [InFlightDelivery, string][] = []
  const sweep = async (delivery: InFlightDelivery, reason: string) => {
    swept.push([delivery, reason])
    return await done()
  }
  t.equal(await consumer.sweepFailed(sweep), 1)
  t.match(swept, [[{ kind: 'event', eventId: 'evt_failed', attemptsMade: 1 }, 'job stalled more than allowable limit']])
  t.match(swept[0]?.[0], { body })
  t.equal(await consumer.sweepFailed(sweep), 0)

  await producer.enqueue(aDelivery('evt_failed'), new Deadline(5000))
  await eventually(() => taken.length === 1)
})

t.test('a failed job that can not be handed over stays, and keeps no other', async (t) => {
  const { prefix, aConsumer, errors } = aQueue(t, redis)
  const eventIds = ['evt_a', 'evt_b', 'evt_c']
  await failJobs(
    prefix,
    eventIds.map((eventId) => ({ jobId: `e-${eventId}`, data: writeJobData(aDelivery(eventId), 0, NO_KEYS) })),
  )
  const consumer = aConsumer(done)
  const removed = await consumer.sweepFailed(async (delivery) => {
    if (delivery.kind === 'event' && delivery.eventId === 'evt_b') throw new Error('the database is away')
    return await done()
  })
  t.equal(removed, 2)
  t.equal((await consumer.counts()).failed, 1)
  t.match(errors, [{ message: 'the database is away' }])
  t.equal(await consumer.sweepFailed(done), 1)
})

t.test('a failed job that is not done yet stays, with the body it is to have from now on', async (t) => {
  const { prefix, aConsumer, key } = aQueue(t, redis)
  const delivery = aDelivery('evt_a', { body: Buffer.from('{"secret":1}') })
  await failJobs(prefix, [{ jobId: 'e-evt_a', data: writeJobData(delivery, 0, NO_KEYS) }])
  const consumer = aConsumer(done)
  const body = Buffer.from('{}')
  t.equal(await consumer.sweepFailed(async () => ({ action: 'requeue', delayMs: 0, body })), 0)
  t.equal((await consumer.counts()).failed, 1)
  t.notMatch(await redis.command('HGETALL', key('e-evt_a')), /secret/)
  const swept: InFlightDelivery[] = []
  t.equal(await consumer.sweepFailed(async (taken) => (swept.push(taken), await done())), 1)
  t.match(swept, [{ kind: 'event', eventId: 'evt_a', receivedAtMs: delivery.receivedAtMs, body: new Uint8Array(body) }])
})

t.test('a failed job that can not be read goes back to where it is reported', async (t) => {
  const unreadable: string[] = []
  const { prefix, aConsumer } = aQueue(t, redis, { onUnreadable: (jobId) => unreadable.push(jobId) })
  await failJobs(prefix, [{ jobId: 'e-evt_newer', data: { v: 2 } }])
  const consumer = aConsumer(done)
  t.equal(await consumer.sweepFailed(async () => (t.fail('there is nothing to hand over'), await done())), 0)
  await eventually(() => unreadable.length === 1)
  await eventually(async () => (await consumer.counts()).delayed === 1)
  t.strictSame(unreadable, ['e-evt_newer'])
})

t.test('several sweeps at once remove each job once', async (t) => {
  const { prefix, aConsumer } = aQueue(t, redis)
  const jobs = Array.from({ length: 20 }, (_, index) => ({
    jobId: `e-evt_${index}`,
    data: writeJobData(aDelivery(`evt_${index}`), 0, NO_KEYS),
  }))
  await failJobs(prefix, jobs)
  const consumer = aConsumer(done)
  await Promise.all([1, 2, 3].map(() => consumer.sweepFailed(done)))
  t.equal((await consumer.counts()).failed, 0)
})
