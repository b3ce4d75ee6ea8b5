import { Deadline } from '@persona-ingest/core'
import { throwAwayRedis } from '@persona-ingest/testkit'
import type { Job } from 'bullmq'
import t from 'tap'
import { AttemptFailed } from '../../src/bullmq-quirks.ts'
import { InFlightWorker } from '../../src/in-flight-worker.ts'
import { openWorkerConnection } from '../../src/queue-connection.ts'
import { aDelivery } from '../a-delivery.ts'
import { aQueue, done, empty } from '../a-queue.ts'

/** Lets a test fail a job by hand, as BullMQ does when it can't report an outcome. */
class HandWorker extends InFlightWorker {
  async fail(error: Error, job: Job, token: string): Promise<void> {
    await this.handleFailed(error, job, token, () => false)
  }
}

t.test('an outcome that Redis refused uses up no attempt', async (t) => {
  const redis = await throwAwayRedis(t)
  const { prefix, producer } = aQueue(t, redis)
  const connection = openWorkerConnection(redis.url, () => t.fail('the database was refused'))
  const worker = new HandWorker('persona-events', async () => void (await done()), {
    connection: connection.client,
    prefix,
    maxInFlightBytes: 64_000_000,
    autorun: false,
    settings: { backoffStrategy: () => 60_000 },
  })
  t.teardown(async () => {
    await worker.close(true)
    connection.disconnect()
  })
  await producer.enqueue(aDelivery('evt_refused'), new Deadline(5000))
  const job = await worker.getNextJob('token')
  if (job === undefined) throw new Error('expected the delivery')

  const refusal = new Error('MISCONF Errors writing to the AOF file')
  await t.rejects(worker.fail(refusal, job, 'token'), refusal)
  t.strictSame(await producer.counts(), { ...empty, active: 1 }, 'it stays as it is until its lock runs out')

  await worker.fail(new AttemptFailed('SQLSTATE XX000'), job, 'token')
  t.strictSame(await producer.counts(), { ...empty, delayed: 1 })
  t.equal(job.attemptsMade, 1)
})
