import { setTimeout as pause } from 'node:timers/promises'
import { Deadline } from '@persona-ingest/core'
import { createProducer } from '@persona-ingest/queue'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { announcedSql, foldedRowsSql, Session, tickReaders } from '../../../../../packages/database/test/fixtures/feed-readers.ts' // prettier-ignore
import type { FoldedObject } from '../../../../../packages/database/test/model/feed-fold.ts'
import { bodyOf, history, renamed } from '../../../../../packages/database/test/model/history.ts'
import { aWorkerProcess, type WorkerProcess } from '../../fixtures/a-worker-process.ts'

/** Workers killed while they store and make ticks. */
const KILLS = Number(process.env['FAULT_KILLS'] ?? 3)
const SEED = process.env['PROPERTY_SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['PROPERTY_SEED'])
const WORKERS = 2
/** A tick after a kill comes within this time. */
const TAKEN_OVER_MS = 5_000

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
t.teardown(() => producer.close())

/** Enqueues histories without end, some events twice. */
function keepLoadOn() {
  const load = { isOver: false, enqueued: new Set<string>() }
  const send = async (): Promise<void> => {
    for (let round = 0; !load.isOver; round += 1) {
      const [events = []] = fc.sample(history(8), { seed: SEED + round, numRuns: 1 })
      for (const event of [...events, ...events.slice(0, 1)].map((told) => renamed(told, `_${round}`))) {
        const delivery = {
          kind: 'event',
          eventId: event.id,
          environment: 'production',
          receivedAtMs: Date.now(),
          body: bodyOf(event),
          requestId: `req-${event.id}`,
        } as const
        await producer.enqueue(delivery, new Deadline(5_000))
        load.enqueued.add(event.id)
      }
      await pause(20)
    }
  }
  const sending = send()
  return { load, end: async () => ((load.isOver = true), sending) }
}

const writtenSql = `
UPDATE inquiries SET status = 'by hand ' || clock_timestamp() WHERE id = (SELECT id FROM inquiries LIMIT 1)
RETURNING pg_current_xact_id()::text AS xid`
const tickedSql = `
SELECT extract(epoch FROM min(at)) * 1000 AS at FROM change_ticks
WHERE pg_visible_in_snapshot($1::text::xid8, snapshot) HAVING min(at) IS NOT NULL`

/** The time until a change that was made now belongs to a tick, by the clock of the database. */
async function msUntilTicked(): Promise<number> {
  const [begun] = await sql('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS at')
  const [written] = await sql(writtenSql)
  const ticked = async (): Promise<number> => {
    const [tick] = await sql(tickedSql, [written?.['xid']])
    if (tick === undefined) throw new Error('expected a tick of the change')
    return Number(tick['at'])
  }
  return (await eventually(ticked, { deadlineMs: 60_000 })) - Number(begun?.['at'])
}

async function aWorker(t: Test): Promise<WorkerProcess> {
  return aWorkerProcess(t, { REDIS_URL: redis.url, DATABASE_URL: url, LOG_LEVEL: 'info' })
}

t.test(`${KILLS} kills of workers leave the feed exact, seed ${SEED}`, { timeout: 3_600_000 }, async (t) => {
  const sessions: Session[] = []
  const readers = tickReaders((name) => {
    const session = new Session(url, name)
    sessions.push(session)
    return session
  })
  t.teardown(() => Promise.all(sessions.map((each) => each.close())))
  const workers = await Promise.all(Array.from({ length: WORKERS }, () => aWorker(t)))
  const { load, end } = keepLoadOn()
  const reading = { isOver: false }
  const loops = readers.map(async ({ step }, index) => {
    while (!reading.isOver) await step().then(() => pause(50 + 100 * index))
  })
  await eventually(async () => (await sql('SELECT FROM inquiries LIMIT 1')).length === 1)
  const takenOverMs: number[] = []
  for (let kill = 0; kill < KILLS; kill += 1) {
    await pause(Math.random() * 800)
    await workers[kill % WORKERS]?.kill()
    takenOverMs.push(await msUntilTicked())
    workers[kill % WORKERS] = await aWorker(t)
  }
  await end()
  const stored = async () => (await sql('SELECT id FROM events UNION SELECT event_id FROM dead_letters')).length
  // Jobs of killed workers are taken again after the lock of their worker has ended.
  await eventually(async () => (await stored()) === load.enqueued.size, { deadlineMs: 120_000, everyMs: 500 })
  await msUntilTicked()
  reading.isOver = true
  await Promise.all(loops)
  for (const { step } of readers) while ((await step()) > 0);

  t.comment(`ticks went on after ${takenOverMs.map(Math.round).join(', ')} ms`)
  t.ok(Math.max(...takenOverMs) < TAKEN_OVER_MS, 'ticks go on')
  const announced = (await sql(announcedSql)).map(({ seq }) => String(seq))
  const rows = (await sql(foldedRowsSql)) as unknown as readonly (FoldedObject & { readonly id: string })[]
  t.comment(`${announced.length} changes of ${rows.length} rows`)
  for (const { name, fold } of readers) {
    const none = { missed: 0, twice: 0, inverted: 0, skipping: 0 }
    t.strictSame(fold.judge(announced), { read: announced.length, ...none }, name)
    t.strictSame(fold.unlike(rows), [], `${name}: the fold equals the tables`)
  }
  t.strictSame(await sql('SELECT event_id FROM dead_letters'), [])
})
