import { Deadline } from '@persona-ingest/core'
import { spawnApp, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { createProducer } from '@persona-ingest/queue'
import t from 'tap'
import { aDelivery } from '../fixtures/an-event.ts'

t.test('a worker whose REDIS_URL names a database that the server lacks stores nothing of database 0', async (t) => {
  const redis = await throwAwayRedis(t, { args: ['--databases', '2'] })
  const { url, sql } = await throwAwayDatabase(t)
  const production = createProducer({ redisUrl: redis.url, encryptionKeys: [] })
  t.teardown(() => production.close())
  await production.enqueue(aDelivery({ id: 'evt_production' }), new Deadline(5000))
  const staging = await spawnApp({
    entry: 'apps/worker/src/main.ts',
    env: { HOST: '127.0.0.1', METRICS_PORT: '0', DATABASE_URL: url, REDIS_URL: `${redis.url}/5` },
  })
  t.teardown(() => staging.kill())
  t.same(await staging.exit, { code: 1, signal: null })
  t.match(JSON.parse(staging.lines.findLast((line) => line.includes('fatal')) ?? '{}'), {
    fault: 'QUEUE_DATABASE_REFUSED',
    msg: /^REDIS_URL: /,
  })
  t.strictSame(await sql('SELECT id FROM events'), [])
  t.equal((await production.counts()).waiting, 1)
})
