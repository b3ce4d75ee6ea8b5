import { Deadline } from '@persona-ingest/core'
import { throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import type { Delivery } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'
import { aQueue, done } from '../a-queue.ts'

const redis = await throwAwayRedis(t)

t.test('a pass reduces every job that it can, and rejects at its end where one failed', async (t) => {
  const { producer, key, aConsumer, errors } = aQueue(t, redis)
  await producer.probe()
  await redis.command('HSET', key('meta'), 'paused', 1)
  for (const eventId of ['evt_1', 'evt_2', 'evt_3']) await producer.enqueue(aDelivery(eventId), new Deadline(5000))
  const consumer = aConsumer(done)
  const reduced: (string | null)[] = []
  const reduce = (failing: string) => async (delivery: Delivery) => {
    if (delivery.eventId === failing) throw new Error('the database is away')
    reduced.push(delivery.eventId)
    return Buffer.from('{}')
  }
  await t.rejects(consumer.reduceQueued(reduce('evt_2')), { message: 'the database is away' })
  t.strictSame(new Set(reduced), new Set(['evt_1', 'evt_3']))
  t.equal(errors.length, 1, 'the failure is reported')
  t.equal(await consumer.reduceQueued(reduce('none')), 3)
})
