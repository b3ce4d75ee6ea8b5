import { eventually, startPostgres, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { migrate } from '@persona-ingest/database'
import { randomBytes } from 'node:crypto'
import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { aSmallDisk } from '../fixtures/a-small-disk.ts'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, deliveries } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const OUT = 'database takes no writes, holding deliveries until it does'

type Sql = (text: string) => Promise<Record<string, unknown>[]>
type Queue = ReturnType<typeof aQueue>

async function outOfDisk(t: Test, worker: ReturnType<Queue['startWorker']>): Promise<void> {
  await eventually(() => worker.logged(OUT).length > 0)
  const [line] = worker.logged(OUT)
  t.comment(`told: ${String(line?.['description'])}`)
  t.equal(line?.level, 'warn')
}

/** From the moment that there is room again. */
async function recovers(t: Test, context: { queue: Queue; sql: Sql; count: number }): Promise<void> {
  const { queue, sql, count } = context
  const beganAtMs = performance.now()
  const isStored = async () => (await sql('SELECT id FROM events')).length === count
  await eventually(isStored, { deadlineMs: 60_000 })
  t.comment(`all stored ${Math.round(performance.now() - beganAtMs)} ms after there was room`)
  await queue.isEmpty(30_000)
  t.strictSame(await sql('SELECT event_id FROM dead_letters'), [])
}

t.test('the disk of the event log is full: an outage, without an attempt used up', async (t) => {
  const disk = await aSmallDisk(t, 8)
  if ('reason' in disk) {
    t.pass('no small disk', { skip: disk.reason })
    return
  }
  const { url, sql, server } = await throwAwayDatabase(t)
  t.teardown(() => server.stop())
  await sql(`CREATE TABLESPACE small LOCATION '${disk.folder}'`)
  await sql('ALTER TABLE events SET TABLESPACE small')
  await sql('CREATE TABLE filler (text text) TABLESPACE small')
  const fill = () => sql(`INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 500)`)
  await eventually(async () => fill().then(() => false, (error: { code?: string }) => error.code === '53100')) // prettier-ignore

  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(300))
  await outOfDisk(t, worker)
  t.match(worker.logged(OUT), [{ description: 'disk full (SQLSTATE 53100)' }])
  // Several tries more: none of them is an event's fault.
  await eventually(async () => worker.worker.inFlightCount() > 0)
  t.strictSame(await sql('SELECT id FROM events'), [])
  await sql('DROP TABLE filler')
  await recovers(t, { queue, sql, count: 300 })
  t.strictSame(worker.logged('event failed, retrying'), [], 'no attempt was used up')
})

t.test('the whole disk of PostgreSQL is full', async (t) => {
  const disk = await aSmallDisk(t, 220)
  if ('reason' in disk) {
    t.pass('no small disk', { skip: disk.reason })
    return
  }
  const settings = { max_wal_size: '32MB', min_wal_size: '32MB' }
  const server = await startPostgres({ dir: join(disk.folder, 'postgres'), durable: true, settings })
  t.teardown(() => server.stop())
  await migrate({ databaseUrl: server.url() })
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: server.url() })
  const worker = queue.startWorker()
  await queue.enqueue(deliveries(50, 'before'))
  await queue.isEmpty()

  const filler = join(disk.folder, 'filler')
  const { bavail, bsize } = await statfs(disk.folder)
  await writeFile(filler, Buffer.alloc(bavail * bsize - 200_000))
  // 8 MB that can't be compressed: more than is left, and than the write-ahead log has made room for beforehand.
  const large = (n: number) =>
    aDelivery({ id: `evt_large_${n}`, inquiryId: `inq_large_${n}`, attributes: { note: randomBytes(15_000).toString('base64') } }) // prettier-ignore
  await queue.enqueue(Array.from({ length: 400 }, (_, n) => large(n)))
  await outOfDisk(t, worker)
  await rm(filler)
  // Where it met the end of its log, PostgreSQL ended itself; whoever supervises it starts it again.
  await server.sql('SELECT 1').catch(async () => server.restart())
  await recovers(t, { queue, sql: (text) => server.sql(text), count: 450 })
  t.strictSame(worker.logged('event failed, retrying'), [], 'no attempt was used up')
})
