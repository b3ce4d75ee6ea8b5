import { Deadline } from '@persona-ingest/core'
import { createProducer } from '@persona-ingest/queue'
import { eventually, throwAwayDatabase, throwAwayRedis, type RedisServer } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { aProxy } from '../../fixtures/a-proxy.ts'
import { aWorkerProcess } from '../../fixtures/a-worker-process.ts'
import { deliveries } from '../../fixtures/an-event.ts'

const OUT = 'database takes no writes, holding deliveries until it does'
t.jobs = 2

/** A Redis and a database of a test's own; each test breaks one of them. */
async function servers(t: Test) {
  const redis = await throwAwayRedis(t)
  const database = await throwAwayDatabase(t)
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  // One by one, so that none shares its job.
  const enqueue = async (count: number) => {
    for (const delivery of deliveries(count)) await producer.enqueue(delivery, new Deadline(5000))
  }
  return { ...database, redis, producer, enqueue, env: { REDIS_URL: redis.url, DATABASE_URL: database.url } }
}

/** Attempts used up by all deliveries in the queue together, as BullMQ counts them. */
async function attemptsUsed(redis: RedisServer, count: number): Promise<number> {
  const keys = Array.from({ length: count }, (_, index) => `bull:persona-events:e-evt_${index}`)
  const attempts = await Promise.all(keys.map((key) => redis.command('HGET', key, 'atm')))
  return attempts.reduce<number>((sum, each) => sum + Number(each ?? 0), 0)
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} while there is nothing to do: exit code 0`, { buffered: true }, async (t) => {
    const { env, enqueue, sql } = await servers(t)
    const app = await aWorkerProcess(t, env)
    await enqueue(5)
    await eventually(async () => (await sql('SELECT 1 FROM events')).length === 5, { deadlineMs: 10_000 })
    const startedAt = performance.now()
    app.signal(signal)
    t.strictSame(await app.exit, { code: 0, signal: null })
    t.ok(performance.now() - startedAt < 5000)
    t.equal(app.lastSaid(), 'drained')
    t.strictSame(app.errorLines, [])
  })
}

t.test(
  'SIGTERM during an outage of PostgreSQL requeues what is in flight, no attempt used; the next worker stores it',
  { buffered: true },
  async (t) => {
    const { env, enqueue, server, redis, producer, sql } = await servers(t)
    const app = await aWorkerProcess(t, { ...env, WORKER_CONCURRENCY: '50' })
    await server.kill()
    await enqueue(80)
    await app.said(OUT)
    await eventually(async () => (await producer.counts()).active === 50)
    app.signal('SIGTERM')
    t.strictSame(await app.exit, { code: 0, signal: null })
    t.equal(app.lastSaid(), 'drained')
    t.match(await producer.counts(), { active: 0, failed: 0 })
    const { waiting, delayed } = await producer.counts()
    t.equal(waiting + delayed, 80)
    t.equal(await attemptsUsed(redis, 80), 0)
    await server.restart()
    await aWorkerProcess(t, env)
    await eventually(async () => (await sql('SELECT 1 FROM events')).length === 80, { deadlineMs: 20_000 })
  },
)

t.test(
  'SIGTERM while PostgreSQL does not answer at all: exit code 0 within DRAIN_TIMEOUT_MS',
  { buffered: true },
  async (t) => {
    const { env, enqueue, redis, producer, url, sql } = await servers(t)
    const proxy = await aProxy(t, url)
    const app = await aWorkerProcess(t, { ...env, DATABASE_URL: proxy.url, DRAIN_TIMEOUT_MS: '4000', WORKER_CONCURRENCY: '20' }) // prettier-ignore
    await eventually(async () => (await app.get('/readyz')).status === 200)
    await proxy.silent()
    await enqueue(30)
    await eventually(async () => (await producer.counts()).active === 20)
    const startedAt = performance.now()
    app.signal('SIGTERM')
    await app.said('draining')
    t.match(await app.get('/readyz'), { status: 503, text: /draining/ }, 'which it says meanwhile')
    t.strictSame(await app.exit, { code: 0, signal: null })
    t.ok(performance.now() - startedAt < 4000)
    t.match(await producer.counts(), { waiting: 30, active: 0, delayed: 0, failed: 0 })
    t.equal(await attemptsUsed(redis, 30), 0)
    await aWorkerProcess(t, env)
    // A redaction waits for the transaction of a check that the silence has cut; PostgreSQL ends it after 30 s.
    await eventually(async () => (await sql('SELECT 1 FROM events')).length === 30, { deadlineMs: 60_000 })
  },
)

t.test(
  'SIGTERM while Redis is away: exit code 0; what was in flight comes back when its lock runs out',
  { buffered: true },
  async (t) => {
    const { env, enqueue, redis, server, sql, producer } = await servers(t)
    const app = await aWorkerProcess(t, { ...env, DRAIN_TIMEOUT_MS: '5000', WORKER_CONCURRENCY: '10' })
    await server.freeze()
    await enqueue(20)
    await eventually(async () => (await producer.counts()).active === 10)
    await redis.kill()
    const startedAt = performance.now()
    app.signal('SIGTERM')
    t.strictSame(await app.exit, { code: 0, signal: null })
    t.ok(performance.now() - startedAt < 5500)
    await redis.restart()
    await server.thaw()
    await aWorkerProcess(t, env)
    await eventually(async () => (await sql('SELECT 1 FROM events')).length === 20, { deadlineMs: 40_000 })
    t.strictSame(await sql('SELECT 1 FROM dead_letters'), [])
  },
)

t.test('a second signal ends the process at once with exit code 1', { buffered: true }, async (t) => {
  const { env, enqueue, url, producer } = await servers(t)
  const proxy = await aProxy(t, url)
  const app = await aWorkerProcess(t, { ...env, DATABASE_URL: proxy.url })
  await eventually(async () => (await app.get('/readyz')).status === 200)
  await proxy.silent()
  await enqueue(3)
  await eventually(async () => (await producer.counts()).active === 3)
  app.signal('SIGTERM')
  await app.said('draining')
  const startedAt = performance.now()
  app.signal('SIGINT')
  t.strictSame(await app.exit, { code: 1, signal: null })
  t.ok(performance.now() - startedAt < 2000)
  const last = JSON.parse(app.lines.at(-1) ?? '') as { msg?: string; heldDeliveries?: number }
  t.equal(last.msg, 'second signal, ending at once')
  // Redis counts a job as active a moment before its bytes are here.
  t.ok(last.heldDeliveries !== undefined && last.heldDeliveries > 0 && last.heldDeliveries <= 3)
})
