import t, { type Test } from 'tap'
import { eventually, freePort, startRedis, throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'

type App = Awaited<ReturnType<typeof anApp>>

async function isRefusedInTime(t: Test, app: App, { fault, body }: { fault?: string; body?: Buffer } = {}) {
  const startedAt = performance.now()
  const answer = await app.deliver(body === undefined ? {} : { body })
  const tookMs = performance.now() - startedAt
  t.ok(tookMs < 4000, `answered after ${Math.round(tookMs)} ms`)
  t.equal(answer.status, 503)
  t.match(answer.json.errors, [{ status: '503', code: 'QUEUE_UNAVAILABLE' }])
  t.match(answer.headers['retry-after'], /^[1-9]\d*$/)
  const line = app.logged('delivery answered').at(-1)
  t.match(line, { level: 'warn', outcome: 'refused', reason: 'QUEUE_UNAVAILABLE', environment: 'production' })
  if (fault !== undefined) t.equal(line?.['fault'], fault)
}

async function readyz({ app }: App) {
  const answer = await app.inject({ url: '/readyz' })
  return [answer.statusCode, answer.body]
}

async function recovers(t: Test, app: App) {
  const endedAtMs = performance.now()
  await eventually(async () => (await app.deliver()).status === 200, { deadlineMs: 10_000 })
  t.comment(`accepted ${Math.round(performance.now() - endedAtMs)} ms after its end`)
  await eventually(async () => (await readyz(app))[0] === 200)
  // Once or, where a refused delivery was written all the same, once more as part of another job.
  t.ok(
    (await app.queued(1)).some((held) => held.eventId === 'evt_1'),
    'the event is in the queue',
  )
}

const UNREADY = [503, '{"status":"unavailable","missing":["redis"]}']

t.test('Redis away at start: it starts, says so, refuses in time and recovers by itself', async (t) => {
  const port = await freePort()
  const app = await anApp(t, { redisUrl: `redis://127.0.0.1:${port}` })
  t.same(await readyz(app), UNREADY)
  t.equal((await app.app.inject({ url: '/livez' })).statusCode, 200)
  await isRefusedInTime(t, app, { fault: 'QUEUE_UNREACHABLE' })
  await isRefusedInTime(t, app, { body: Buffer.from('unusable') })
  const redis = await startRedis({ port })
  t.teardown(async () => redis.stop())
  await recovers(t, app)
})

t.test('Redis killed and back', async (t) => {
  const redis = await throwAwayRedis(t)
  const app = await anApp(t, { redisUrl: redis.url })
  t.equal((await app.deliver({ body: anEventBody({ id: 'evt_before' }) })).status, 200)
  await redis.kill()
  await isRefusedInTime(t, app)
  await eventually(async () => (await readyz(app))[0] === 503)
  await redis.restart()
  await recovers(t, app)
})

t.test('Redis frozen: every delivery is refused in time, also with a backlog to count', async (t) => {
  const redis = await throwAwayRedis(t)
  const app = await anApp(t, { redisUrl: redis.url })
  const counting = await anApp(t, { redisUrl: redis.url, env: { MAX_BACKLOG: '1000' } })
  t.equal((await counting.deliver()).status, 200)
  await redis.freeze()
  await Promise.all([
    ...Array.from({ length: 20 }, async () => isRefusedInTime(t, app)),
    isRefusedInTime(t, app, { body: Buffer.from('unusable') }),
    isRefusedInTime(t, counting),
  ])
  t.same(await readyz(app), UNREADY)
  await redis.thaw()
  await recovers(t, app)
})

t.test('Redis out of memory or without its replicas refuses writes: so do we', async (t) => {
  const redis = await throwAwayRedis(t)
  const app = await anApp(t, { redisUrl: redis.url })
  t.equal((await app.deliver({ body: anEventBody({ id: 'evt_before' }) })).status, 200)
  const settings = [
    ['maxmemory', '1', '0', 'QUEUE_FULL'],
    ['min-replicas-to-write', '1', '0', 'QUEUE_REFUSED'],
  ] as const
  for (const [name, refusing, taking, fault] of settings) {
    await redis.command('CONFIG', 'SET', name, refusing)
    await isRefusedInTime(t, app, { fault })
    await eventually(async () => (await readyz(app))[1] === UNREADY[1])
    await redis.command('CONFIG', 'SET', name, taking)
    await eventually(async () => (await app.deliver()).status === 200)
  }
  await recovers(t, app)
})

t.test('a Redis that may lose what it confirmed is told at start', async (t) => {
  const redis = await throwAwayRedis(t, { args: ['--appendfsync', 'everysec'] })
  const app = await anApp(t, { redisUrl: redis.url })
  await eventually(() => app.logged('Redis may lose what it confirmed: set it to what is expected').length === 1)
})
