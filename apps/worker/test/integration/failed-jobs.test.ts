import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, POISON } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)

t.test('what BullMQ gave up by itself is swept: stored, or kept as a dead letter', async (t) => {
  const { prefix, enqueue, producer, startWorker, isEmpty } = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const key = (name: string) => `${prefix}:persona-events:${name}`
  await enqueue([aDelivery({ id: 'evt_lost' })])
  await enqueue([aDelivery({ id: 'evt_poison', raw: POISON })])
  for (const id of ['e-evt_lost', 'e-evt_poison']) {
    await redis.command('LREM', key('wait'), 0, id)
    await redis.command('ZADD', key('failed'), Date.now(), id)
    await redis.command(
      'HSET',
      key(id),
      'failedReason',
      'job stalled more than allowable limit',
      'finishedOn',
      Date.now(),
    )
  }
  t.match(await producer.counts(), { waiting: 0, failed: 2 })
  const { logged } = startWorker()
  await isEmpty()
  t.strictSame(await sql('SELECT id FROM events'), [{ id: 'evt_lost' }])
  t.match(await sql('SELECT event_id, reason FROM dead_letters'), [{ event_id: 'evt_poison', reason: 'VALUE_REFUSED' }])
  await enqueue([aDelivery({ id: 'evt_lost' })])
  await eventually(() => logged('event stored').length === 2)
  t.match(logged('event stored')[1], { outcome: 'duplicate' }, 'a redelivery is not swallowed')
})
