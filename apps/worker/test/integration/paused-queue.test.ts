import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)

t.test('a queue paused from a dashboard is told as paused, and stored when it is resumed', async (t) => {
  const { prefix, producer, enqueue, startWorker, isEmpty } = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const key = (name: string) => `${prefix}:persona-events:${name}`
  await enqueue([aDelivery({ id: 'evt_1' })])
  await redis.command('HSET', key('meta'), 'paused', 1)
  await redis.command('DEL', key('marker'))
  // As a dashboard with BullMQ 5 does.
  await redis.command('RENAME', key('wait'), key('paused'))
  t.equal((await producer.counts()).waiting, 1)
  const { worker, registry, logged } = startWorker()
  await eventually(() => logged('the queue is paused, waiting until it is resumed').length === 1)
  t.match(await registry.metrics(), /^persona_worker_queue_paused 1$/m)
  await eventually(async () => (await worker.readiness.missing()).length === 0)
  t.equal(await producer.restraint(), 'paused')
  await enqueue([aDelivery({ id: 'evt_2' })])
  t.equal((await producer.counts()).waiting, 2)
  t.strictSame(await sql('SELECT id FROM events'), [])
  await eventually(async () => (await redis.command('EXISTS', key('paused'))) === 0)
  await redis.command('HDEL', key('meta'), 'paused')
  await redis.command('ZADD', key('marker'), 0, '0')
  await isEmpty()
  t.strictSame(await sql('SELECT id FROM events ORDER BY id'), [{ id: 'evt_1' }, { id: 'evt_2' }])
  await eventually(() => logged('the queue is no longer restrained').length === 1)
  t.match(await registry.metrics(), /^persona_worker_queue_paused 0$/m)
})
