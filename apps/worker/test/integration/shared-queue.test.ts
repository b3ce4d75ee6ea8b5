import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'

const SHARED =
  'workers of another database take from this queue, give each installation its own: check REDIS_URL and DATABASE_URL'

t.test('workers of two databases on one queue log that, and workers of one database do not', async (t) => {
  const [redis, production, staging] = await Promise.all([
    throwAwayRedis(t),
    throwAwayDatabase(t),
    throwAwayDatabase(t),
  ])
  const { producer, startWorker } = aQueue(t, { redisUrl: redis.url, databaseUrl: production.url })
  const workers = [startWorker(), startWorker()]
  await eventually(async () => (await producer.installations()).length === 1)
  t.strictSame(
    workers.flatMap(({ logged }) => logged(SHARED)),
    [],
  )
  const other = startWorker({ DATABASE_URL: staging.url })
  await eventually(() => [...workers, other].every(({ logged }) => logged(SHARED).length === 1), { deadlineMs: 40_000 })
  t.equal((await producer.installations()).length, 2)
})
