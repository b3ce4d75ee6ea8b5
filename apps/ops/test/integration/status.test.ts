import { Deadline } from '@persona-ingest/core'
import { createProducer } from '@persona-ingest/queue'
import { freePort, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { runCli } from '../fixtures/run-cli.ts'
import { runHere } from '../fixtures/run-here.ts'
import { storeExamples } from '../fixtures/stored-events.ts'

const [{ url: databaseUrl, sql }, redis] = await Promise.all([throwAwayDatabase(t), throwAwayRedis(t)])
const { url: redisUrl } = redis
await storeExamples(databaseUrl, sql)
await sql("UPDATE events SET received_at = now() - interval '5 s', processed_at = now() - interval '4 s'")

const producer = createProducer({ encryptionKeys: [], redisUrl })
t.teardown(() => producer.close())
for (const eventId of ['evt_a', 'evt_b']) {
  const receivedAtMs = Date.now()
  await producer.enqueue(
    { kind: 'event', eventId, environment: 'production', receivedAtMs, body: Buffer.from('{}') },
    new Deadline(5000),
  )
}

const status = async (env: Record<string, string>, ...args: string[]) => await runCli(['status', ...args], env)
const both = { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl }

t.test('status tells what waits, how far behind storing is, and what could not be stored', async (t) => {
  const [human, document] = await Promise.all([status(both), status(both, '--json')])
  t.strictSame([human.code, human.stderr], [0, ''])
  t.match(human.stdout, /queue +2 waiting, 0 active, 0 delayed, 0 failed; oldest waits for [\d.]+ (ms|s)\n/)
  t.match(human.stdout, /lag +p50 1\.0 s, p99 1\.0 s/)
  t.match(human.stdout, /events +4 stored, 4 received in the last hour\n/)
  t.match(human.stdout, /dead letters +2 open: /)
  t.strictSame([document.code, document.stderr], [0, ''])
  t.match(human.stdout, /changes +no tick yet; 5 wait for a tick, the oldest for /)
  const { queue, events, changes, ...rest } = JSON.parse(document.stdout)
  t.strictSame(rest, {
    redis: { reachable: true, fault: null },
    database: { reachable: true, fault: null },
    lag: { events: 4, p50_ms: 1000, p99_ms: 1000, max_ms: 1000 },
    dead_letters: { open: 2, by_reason: { EVENT_NAME_INVALID: 1, INVALID_JSON: 1 } },
  })
  t.match(changes, { newest_tick: null, oldest_tick: 0, oldest_waiting_ms: Number, consumers: [] })
  t.match(queue, { waiting: 2, active: 0, delayed: 0, failed: 0, oldest_waiting_ms: Number })
  t.match(events, { total: 4, total_is_exact: true, last_hour: 4, newest_received_at: /^\d{4}-.*Z$/ })
})

t.test('status tells what it can while one of both is away, and exits with 1', async (t) => {
  const closed = await freePort()
  const [noRedis, noDatabase] = await Promise.all([
    status({ ...both, REDIS_URL: `redis://:secret@127.0.0.1:${closed}` }, '--json'),
    runHere(['status', '--json'], { ...both, DATABASE_URL: `postgresql://zoe:secret@127.0.0.1:${closed}/db` }),
  ])
  t.match(JSON.parse(noRedis.stdout), { redis: { reachable: false }, queue: null, events: { total: 4 } })
  t.match(noRedis.stderr, /^error: redis is away .+\n$/)
  const parts = {
    database: { reachable: false },
    queue: { waiting: 2 },
    events: null,
    lag: null,
    dead_letters: null,
    changes: null,
  }
  t.match(JSON.parse(noDatabase.stdout), parts)
  t.match(noDatabase.stderr, /^error: database is away .+\n$/)
  for (const { code, stdout, stderr, tookMs } of [noRedis, noDatabase]) {
    t.equal(code, 1)
    t.notMatch(stdout + stderr, /secret|zoe|127\.0\.0\.1/)
    t.ok(tookMs < 30_000, `took ${Math.round(tookMs)} ms`)
  }
})

t.test('status tells that the queue is paused or limited', async (t) => {
  const meta = 'bull:persona-events:meta'
  await redis.command('HSET', meta, 'paused', 1)
  const [human, document] = [await runHere(['status'], both), await runHere(['status', '--json'], both)]
  t.match(human.stdout, /queue +2 waiting.*; PAUSED from a dashboard/)
  t.match(JSON.parse(document.stdout), { queue: { restraint: 'paused' } })
  await redis.command('HDEL', meta, 'paused')
  await redis.command('HSET', meta, 'concurrency', 1)
  t.match((await runHere(['status'], both)).stdout, /; LIMITED from a dashboard/)
  await redis.command('HDEL', meta, 'concurrency')
  t.notMatch((await runHere(['status'], both)).stdout, /PAUSED|LIMITED/)
})

t.test('status tells the queue while Redis refuses writes', async (t) => {
  await redis.command('CONFIG', 'SET', 'min-replicas-to-write', 1)
  t.teardown(() => redis.command('CONFIG', 'SET', 'min-replicas-to-write', 0))
  t.match((await runHere(['status'], both)).stdout, /queue +2 waiting/)
})

t.test('status names every variable that is missing', async (t) => {
  const { code, stderr } = await runHere(['status'])
  t.equal(code, 1)
  t.match(stderr, /DATABASE_URL: missing\n +REDIS_URL: missing/)
})
