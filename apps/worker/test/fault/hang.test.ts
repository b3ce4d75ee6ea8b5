import { Deadline } from '@persona-ingest/core'
import { createProducer } from '@persona-ingest/queue'
import { eventually, spawnApp, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aWorkerProcess, says } from '../fixtures/a-worker-process.ts'
import { deliveries } from '../fixtures/an-event.ts'

const STUCK = 'this worker holds deliveries and settles none although it could, ending so that it is started afresh'

t.test('a worker that hangs with deliveries in its hands ends itself; the next one stores them', async (t) => {
  const redis = await throwAwayRedis(t)
  const { url, sql } = await throwAwayDatabase(t)
  const env = { REDIS_URL: redis.url, DATABASE_URL: url }
  const hanging = await spawnApp({ entry: 'apps/worker/test/fixtures/hanging-worker.ts', env })
  t.teardown(async () => hanging.kill())
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(async () => producer.close())
  await Promise.all(deliveries(6).map(async (delivery) => producer.enqueue(delivery, new Deadline(5000))))

  const enqueuedAtMs = performance.now()
  await hanging.waitForLine(says(STUCK), { deadlineMs: 60_000 })
  t.comment(`found stuck after ${Math.round(performance.now() - enqueuedAtMs)} ms`)
  t.strictSame(await hanging.exit, { code: 1, signal: null })
  t.equal(hanging.lines.filter(says('event stored')).length, 0)
  t.strictSame(await sql('SELECT id FROM events'), [])

  const worker = await aWorkerProcess(t, env)
  const beganAtMs = performance.now()
  await eventually(async () => (await sql('SELECT id FROM events')).length === 6, { deadlineMs: 40_000 })
  t.comment(`stored ${Math.round(performance.now() - beganAtMs)} ms after the next one began`)
  await eventually(async () => Object.values(await producer.counts()).every((count) => count === 0))
  t.equal(worker.count('event failed, retrying'), 0, 'no attempt was used up')
  t.strictSame(await sql('SELECT event_id FROM dead_letters'), [])
})
