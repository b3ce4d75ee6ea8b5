import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { deliveries } from '../fixtures/an-event.ts'

t.test('connections that died without a word are given up; new ones take their place', async (t) => {
  const redis = await throwAwayRedis(t)
  const { url, sql } = await throwAwayDatabase(t)
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(200, 'before'))
  await queue.isEmpty()
  // Halted backends take what is sent and never answer, as behind a firewall that forgot these connections.
  const backends = await sql(`SELECT pid FROM pg_stat_activity WHERE application_name = 'persona-ingest'`)
  const pids = backends.map(({ pid }) => Number(pid))
  t.ok(pids.length >= 1)
  t.teardown(() => pids.forEach((pid) => process.kill(pid, 'SIGCONT')))
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  await queue.enqueue(deliveries(50, 'after'))
  await eventually(async () => (await sql('SELECT 1 FROM events')).length === 250, {
    deadlineMs: 110_000,
    everyMs: 200,
  })
  await queue.isEmpty()
  t.strictSame(worker.logged('event failed, retrying'), [])
  t.strictSame(await sql('SELECT 1 FROM dead_letters'), [])
})
