import { migrate } from '@persona-ingest/database'
import { eventually, freePort, startRedis, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit' // prettier-ignore
import t, { type Test } from 'tap'
import { aProxy } from '../fixtures/a-proxy.ts'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, deliveries } from '../fixtures/an-event.ts'

// Most of the time here is spent waiting: for a connection to be given up.
t.jobs = 4
const redis = await throwAwayRedis(t)
const OUT = 'database takes no writes, holding deliveries until it does'
const BACK = 'database takes writes again'

type Queue = ReturnType<typeof aQueue>
type Worker = ReturnType<Queue['startWorker']>

/** An outage costs time only: everything is stored, and nothing was an event's fault. */
async function costNothing(t: Test, context: { queue: Queue; worker: Worker; sql: Sql; count: number }): Promise<void> {
  const { queue, worker, sql, count } = context
  const endedAtMs = performance.now()
  await queue.isEmpty(60_000)
  t.comment(`all stored ${Math.round(performance.now() - endedAtMs)} ms after its end`)
  t.strictSame(await sql('SELECT count(*)::int, count(DISTINCT id)::int AS ids FROM events'), [{ count, ids: count }])
  t.strictSame(await sql('SELECT event_id FROM dead_letters'), [])
  t.strictSame(worker.logged('event failed, retrying'), [])
  t.ok(worker.logged(OUT).length >= 1, 'the outage was told')
  t.equal(worker.logged(BACK).length, worker.logged(OUT).length, 'and its end')
}
type Sql = (text: string) => Promise<Record<string, unknown>[]>

const toldAnOutage = (worker: Worker) => eventually(() => worker.logged(OUT).length > 0, { deadlineMs: 30_000 })

t.test('PostgreSQL killed under load, and back', { buffered: true }, async (t) => {
  const { url, sql, server } = await throwAwayDatabase(t)
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(300, 'before'))
  await eventually(() => worker.logged('event stored').length > 0)
  await server.kill()
  await queue.enqueue(deliveries(300, 'during'))
  await toldAnOutage(worker)
  await server.restart()
  await costNothing(t, { queue, worker, sql, count: 600 })
})

for (const fault of ['silent', 'mute', 'reset', 'refuse'] as const) {
  t.test(`the way to PostgreSQL fails under load (${fault}), and is back`, { buffered: true }, async (t) => {
    const { url, sql } = await throwAwayDatabase(t)
    const proxy = await aProxy(t, url)
    const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: proxy.url })
    const worker = queue.startWorker({ WORKER_CONCURRENCY: '40' })
    await queue.enqueue(deliveries(200, 'before'))
    await eventually(() => worker.logged('event stored').length > 0)
    await proxy[fault]()
    await queue.enqueue(deliveries(100, 'during'))
    // Statements on open connections are given up after 25 s only; new connections within 5 s.
    await eventually(() => worker.logged(OUT).length > 0, { deadlineMs: 40_000 })
    await proxy.pass()
    await costNothing(t, { queue, worker, sql, count: 300 })
  })
}

t.test('PostgreSQL stops to answer in the middle of a redaction', { buffered: true }, async (t) => {
  const { url, sql } = await throwAwayDatabase(t)
  const proxy = await aProxy(t, url)
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: proxy.url })
  const worker = queue.startWorker()
  const holdsLock = sql('SELECT begin_exclusive_write()::text, pg_sleep(4)')
  await queue.enqueue([aDelivery({ name: 'inquiry.redacted' })])
  const waiters = `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%begin_exclusive_write%'`
  await eventually(async () => (await sql(waiters)).length === 1)
  await proxy.mute()
  await holdsLock
  // The statement is given up after 25 s; Prisma's ROLLBACK must not wait for as long again.
  await eventually(() => worker.logged(OUT).length > 0, { deadlineMs: 40_000 })
  await proxy.pass()
  await costNothing(t, { queue, worker, sql, count: 1 })
})

t.test('PostgreSQL takes no writes for a while', { buffered: true }, async (t) => {
  const { url, sql } = await throwAwayDatabase(t)
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(50, 'before'))
  await queue.isEmpty()
  await sql('ALTER SYSTEM SET default_transaction_read_only = on')
  await sql('SELECT pg_reload_conf()')
  await queue.enqueue(deliveries(50, 'during'))
  await toldAnOutage(worker)
  t.match(worker.logged(OUT), [{ level: 'warn', description: 'the database is read-only (SQLSTATE 25006)' }])
  await sql('ALTER SYSTEM RESET default_transaction_read_only')
  await sql('SELECT pg_reload_conf()')
  await costNothing(t, { queue, worker, sql, count: 100 })
})

t.test('PostgreSQL has no connection left', { buffered: true }, async (t) => {
  const settings = { max_connections: '5', superuser_reserved_connections: '0' }
  const { url, sql } = await throwAwayDatabase(t, { settings })
  const others: Promise<unknown>[] = []
  await eventually(async () => {
    const code = await sql('SELECT 1').then(() => null, (error: { code?: string }) => error.code) // prettier-ignore
    if (code !== '53300') others.push(sql('SELECT pg_sleep(6)').catch(() => {}))
    return code === '53300'
  })
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(50))
  await toldAnOutage(worker)
  t.match(worker.logged(OUT), [{ description: 'too many connections (SQLSTATE 53300)' }])
  await Promise.all(others)
  await costNothing(t, { queue, worker, sql, count: 50 })
})

t.test('a database that is not migrated yet', { buffered: true }, async (t) => {
  const { url, sql } = await throwAwayDatabase(t, { migrate: false })
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(20))
  await toldAnOutage(worker)
  t.match(worker.logged(OUT), [{ description: /run db:migrate/ }])
  t.strictSame(await worker.worker.readiness.missing(), ['database'])
  await migrate({ databaseUrl: url })
  await costNothing(t, { queue, worker, sql, count: 20 })
})

t.test('a worker that starts while PostgreSQL is away', { buffered: true }, async (t) => {
  const { url, sql, server } = await throwAwayDatabase(t)
  await server.kill()
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(20))
  await toldAnOutage(worker)
  await server.restart()
  await costNothing(t, { queue, worker, sql, count: 20 })
})

t.test(
  'a worker that starts while Redis is away says so, and takes up its work once it is there',
  { buffered: true },
  async (t) => {
    const { url, sql } = await throwAwayDatabase(t)
    const port = await freePort()
    const queue = aQueue(t, { redisUrl: `redis://127.0.0.1:${port}`, databaseUrl: url })
    const worker = queue.startWorker()
    await eventually(() => worker.logged('queue in trouble, trying again').length > 0)
    t.match(worker.logged('queue in trouble, trying again')[0], { level: 'warn', fault: 'ECONNREFUSED' })
    t.strictSame(await worker.worker.readiness.missing(), ['redis'])
    const late = await startRedis({ port })
    t.teardown(() => late.stop())
    await eventually(() => queue.enqueue([aDelivery()]).then(() => true), { deadlineMs: 15_000 }) // prettier-ignore
    await queue.isEmpty()
    t.equal((await sql('SELECT id FROM events')).length, 1)
  },
)

t.test('Redis killed under load, and back; and emptied', { buffered: true }, async (t) => {
  const { url, sql } = await throwAwayDatabase(t)
  const own = await startRedis()
  t.teardown(() => own.stop())
  const queue = aQueue(t, { redisUrl: own.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(400))
  await eventually(() => worker.logged('event stored').length > 0)
  await own.kill()
  await own.restart()
  await eventually(async () => (await sql('SELECT id FROM events')).length === 400, { deadlineMs: 30_000 })
  await eventually(() => queue.isEmpty(1000).then(() => true), { deadlineMs: 30_000 }) // prettier-ignore
  await own.command('FLUSHALL')
  await queue.enqueue(deliveries(20, 'later'))
  await queue.isEmpty()
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 420 }])
  t.strictSame(await sql('SELECT event_id FROM dead_letters'), [])
  t.strictSame(worker.logged('event failed, retrying'), [])
})

t.test('both away at once', { buffered: true }, async (t) => {
  const database = await throwAwayDatabase(t)
  const own = await startRedis()
  t.teardown(() => own.stop())
  const queue = aQueue(t, { redisUrl: own.url, databaseUrl: database.url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(100))
  await eventually(() => worker.logged('event stored').length > 0)
  await Promise.all([own.kill(), database.server.kill()])
  await eventually(async () => (await worker.worker.readiness.missing()).length === 2, { deadlineMs: 10_000 })
  await own.restart()
  await database.server.restart()
  await eventually(() => queue.isEmpty(1000).then(() => true), { deadlineMs: 40_000 }) // prettier-ignore
  t.strictSame(await database.sql('SELECT count(*)::int FROM events'), [{ count: 100 }])
  t.strictSame(worker.logged('event failed, retrying'), [])
})
