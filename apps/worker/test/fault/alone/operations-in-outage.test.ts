import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aProxy } from '../../fixtures/a-proxy.ts'
import { aWorkerProcess } from '../../fixtures/a-worker-process.ts'
import { readMetrics } from '../../fixtures/metrics-text.ts'

const redis = await throwAwayRedis(t)
const { url } = await throwAwayDatabase(t)

t.test('readyz names what is missing; metrics and livez answer in time all the same', async (t) => {
  const databaseProxy = await aProxy(t, url)
  const redisProxy = await aProxy(t, redis.url)
  const app = await aWorkerProcess(t, {
    DATABASE_URL: databaseProxy.url,
    REDIS_URL: redisProxy.url,
  })
  await eventually(async () => (await app.get('/readyz')).status === 200)
  const isMissing = (...names: readonly string[]) =>
    eventually(
      async () => {
        const { status, text } = await app.get('/readyz')
        if (
          status !== 503 ||
          JSON.stringify((JSON.parse(text) as { missing: string[] }).missing) !== JSON.stringify(names)
        )
          throw new Error(`${status} ${text}`)
      },
      { deadlineMs: 15_000 },
    )
  await databaseProxy.silent()
  await isMissing('database')
  const startedAt = performance.now()
  const { samples } = readMetrics((await app.get('/metrics')).text)
  t.ok(performance.now() - startedAt < 4500, 'within the time of a scrape')
  t.equal(samples.find(({ name }) => name === 'persona_worker_database_up')?.value, 0)
  t.equal((await app.get('/livez')).status, 200)
  await redisProxy.refuse()
  await isMissing('redis', 'database')
  t.equal((await app.get('/metrics')).status, 200)
  await Promise.all([databaseProxy.pass(), redisProxy.pass()])
  await eventually(async () => (await app.get('/readyz')).status === 200, { deadlineMs: 20_000 })
})
