import { noPgBouncer, throwAwayDatabase, throwAwayPooler, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aWorkerProcess } from '../fixtures/a-worker-process.ts'

const skip = await noPgBouncer()

t.test('a worker behind a pooler of transactions says so at its start, and is not ready', { skip }, async (t) => {
  const redis = await throwAwayRedis(t)
  const { server } = await throwAwayDatabase(t)
  const pooler = await throwAwayPooler(t, server, { mode: 'transaction' })
  const worker = await aWorkerProcess(t, { REDIS_URL: redis.url, DATABASE_URL: pooler.url() })
  const line = await worker.waitForLine((each) => each.includes('pool sessions'), { deadlineMs: 30_000 })
  t.match(JSON.parse(line), { level: /warn|40/, msg: 'database takes no writes at the start' })
  t.match(await worker.get('/readyz'), { status: 503, text: /database/ })
})
