import { setTimeout as pause } from 'node:timers/promises'
import { eventually, spawnApp, throwAwayDatabase, type SpawnedApp } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { makeChangeTick, openDatabase, storeEvents } from '../../src/index.ts'
import { read } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'
import { announcedSql, controlReaders, foldedRowsSql, Session, tickReaders, type Reader } from '../fixtures/feed-readers.ts' // prettier-ignore
import { troubles, type Trouble } from '../fixtures/feed-troubles.ts'
import type { FeedWriterOptions } from '../fixtures/feed-writer.ts'
import { holdTransaction, writeWithin } from '../fixtures/held-write.ts'
import type { FoldedObject } from '../model/feed-fold.ts'

/** Writes whose connection or process is ended between statement and commit. */
const KILLS = Number(process.env['FAULT_KILLS'] ?? 8)
/** Histories of up to eight events, each delivered by all writers. */
const HISTORIES = Number(process.env['PROPERTY_RUNS'] ?? 60)
const SEED = process.env['PROPERTY_SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['PROPERTY_SEED'])
const WRITERS = 2
const random = (below: number): number => Math.floor(Math.random() * below)

const settings = { max_prepared_transactions: '5' }
const { url, server, sql } = await throwAwayDatabase(t, { settings })
const sessions: Session[] = []
const session = (name: string): Session => {
  const opened = new Session(url, name)
  sessions.push(opened)
  return opened
}
t.teardown(() => Promise.all(sessions.map((each) => each.close())))
const databases = [1, 2].map(() => openDatabase({ encryptionKeys: [], url, connections: 4 })) as [Database, Database]
type Database = ReturnType<typeof openDatabase>
t.teardown(() => Promise.all(databases.map((each) => each.close())))
const [database] = databases

const readers = tickReaders(session)
const controls = controlReaders(session)
const allReaders: readonly Reader[] = [...readers, ...Object.values(controls)]

const ticked = (): Promise<unknown> => eventually(async () => (await makeChangeTick(database)) === 'ticked')
const readOn = async (who = allReaders): Promise<void> => void (await Promise.all(who.map(({ step }) => step())))
const readAll = async (who: readonly Reader[]): Promise<void> => {
  for (const { step } of who) while ((await step()) > 0);
}

let told = 0
/** A new event about an inquiry. */
function anEventOf(inquiryId: string) {
  told += 1
  const data = anObject('inquiry', inquiryId, { attributes: { status: `status-${told}` } })
  const createdAt = new Date(Date.UTC(2026, 1, 3) + told).toISOString()
  return read({ body: bodyOf(anEvent({ id: `evt_schedule_${told}`, createdAt, data })) })
}
const hasRead = ({ fold }: Reader, id: string): boolean => fold.objects.has(id)

/** Begins a transaction and gives it a number. */
async function begun() {
  const held = await holdTransaction(database)
  await held.executor.query('SELECT pg_current_xact_id()::text', [])
  return held
}

const lateWriters = {
  'by a statement': async (id: string) => {
    const late = await holdTransaction(database)
    await writeWithin(late.executor, [anEventOf(id)])
    return late
  },
  'by a trigger': async (id: string) => {
    await sql(`UPDATE inquiries SET status = NULL WHERE id = 'inq_first'`)
    const late = await holdTransaction(database)
    await late.executor.query(`INSERT INTO inquiries (id, environment, tags, attributes, fields, relationships) VALUES ($1, 'production', '{}', '{}', '{}', '{}')`, [id]) // prettier-ignore
    // Draws the number, as a commit does that then takes its time.
    await late.executor.query('SET CONSTRAINTS ALL IMMEDIATE', [])
    return late
  },
}

for (const [way, write] of Object.entries(lateWriters))
  t.test(`a number that is drawn first ${way}, and committed last, is missed by both readers by seq`, async (t) => {
    const [low, high] = [`inq_low ${way}`, `inq_high ${way}`]
    const early = await begun()
    const late = await write(low)
    t.ok(await writeWithin(early.executor, [anEventOf(high)]))
    await early.commit()
    await ticked()
    const { bySeq, bySeqOfPast } = controls
    await eventually(async () => (await readOn(), [bySeq, bySeqOfPast].every((each) => hasRead(each, high))))
    await late.commit()
    await ticked()
    await readAll(allReaders)
    t.notOk([bySeq, bySeqOfPast].some((each) => hasRead(each, low)))
    t.ok([...readers, controls.byTransaction].every((each) => hasRead(each, low)))
  })

t.test('a reader by transaction gets two changes of an object the wrong way round', async (t) => {
  const first = await begun()
  const second = await holdTransaction(database)
  await writeWithin(second.executor, [anEventOf('inq_inverted')])
  await second.commit()
  await writeWithin(first.executor, [anEventOf('inq_inverted')])
  await first.commit()
  await ticked()
  await eventually(async () => (await readOn(), hasRead(controls.byTransaction, 'inq_inverted')))
  await readAll(allReaders)
  t.equal(controls.byTransaction.fold.objects.get('inq_inverted')?.version, '1')
  for (const { fold } of readers) t.equal(fold.objects.get('inq_inverted')?.version, '2')
})

t.test('a batch that waits for one row numbers another row after the writer that overtook it', async (t) => {
  const [first, second] = ['inq_waits_1', 'inq_waits_2']
  await storeEvents(database, [anEventOf(first), anEventOf(second)])
  const overtaking = anEventOf(second)
  const foreign = await begun()
  await foreign.executor.query('SELECT id FROM inquiries WHERE id = $1 FOR UPDATE', [first])
  const waiting = storeEvents(database, [anEventOf(first), anEventOf(second)])
  const waitsSql = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%begin_shared_write%'`
  await eventually(async () => (await sql(waitsSql)).length === 1)
  await storeEvents(database, [overtaking])
  await foreign.commit()
  await waiting
  await ticked()
  await readAll(allReaders)
  for (const { name, fold } of readers) t.equal(fold.objects.get(second)?.version, '3', name)
})

t.test('a transaction that somebody leaves open holds up both readers of the past, and nobody else', async (t) => {
  const foreign = await begun()
  const held = await holdTransaction(database)
  await writeWithin(held.executor, [anEventOf('inq_held_up')])
  await held.commit()
  await ticked()
  await readAll(allReaders)
  t.ok(readers.every((each) => hasRead(each, 'inq_held_up')))
  t.notOk(hasRead(controls.byTransaction, 'inq_held_up'))
  t.notOk(hasRead(controls.bySeqOfPast, 'inq_held_up'))
  await foreign.commit()
  await eventually(async () => (await readOn(), hasRead(controls.byTransaction, 'inq_held_up')))
})

/** How often something was done, and how often it failed. */
const done: Record<string, number> = {}
const count = (what: string): void => void (done[what] = (done[what] ?? 0) + 1)
const run = { isOver: false }
t.teardown(() => void (run.isOver = true))

async function keepDoing({ name, once }: Trouble): Promise<void> {
  while (!run.isOver) {
    const isDone = await once().then(() => true, () => false) // prettier-ignore
    count(isDone ? name : `${name}, failed`)
    if (!isDone) await pause(20)
  }
}

type Line = { readonly msg: string; readonly pid?: number }
const lineOf = (text: string): Line => JSON.parse(text) as Line

async function aWriter(order: number, holds: number): Promise<SpawnedApp> {
  const options: FeedWriterOptions = { url, seed: SEED, histories: HISTORIES, order, holds }
  return spawnApp({ entry: 'packages/database/test/fixtures/feed-writer.ts', args: [JSON.stringify(options)] })
}

/** Waits until the writer holds its next write; null where it has stored everything. */
async function nextHeld(writer: SpawnedApp, after: number): Promise<number | null | false> {
  return eventually(
    () => {
      const lines = writer.lines.map(lineOf)
      const news = lines.filter(({ msg }) => msg === 'held')[after] ?? lines.find(({ msg }) => msg === 'done')
      return news === undefined ? false : (news.pid ?? null)
    },
    { deadlineMs: 120_000, everyMs: 20 },
  )
}

const HOLDS = 4

/** Runs a writer again and again: three of its writes lose their connection, the fourth its process. Then it may finish. */
async function killedWriter(t: Test, number: number, kills: { left: number }): Promise<void> {
  for (let order = SEED + number; kills.left > 0; order += WRITERS) {
    const writer = await aWriter(order, HOLDS)
    t.teardown(() => writer.kill())
    for (let held = 0; held < HOLDS && kills.left > 0; held += 1) {
      const pid = await nextHeld(writer, held)
      if (pid === null) break
      kills.left -= 1
      if (held === HOLDS - 1) await writer.kill()
      // The server may have been killed meanwhile, which ends the connection too.
      else await sql('SELECT pg_terminate_backend($1)', [pid]).catch(() => undefined)
      count(held === HOLDS - 1 ? 'writers killed' : 'connections of writers ended')
    }
    await writer.kill()
  }
  const last = await aWriter(SEED + 1_000_000 + number, 0)
  t.teardown(() => last.kill())
  await last.waitForLine((line) => lineOf(line).msg === 'done', { deadlineMs: 1_800_000 })
}

const victimsSql = `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name IN ('persona-ingest', 'persona-ingest-maintenance', 'foreign', 'feed writer')
ORDER BY random() LIMIT 1`

async function endTransactions(): Promise<void> {
  for (const { gid } of await sql('SELECT gid FROM pg_prepared_xacts'))
    await sql(`COMMIT PREPARED '${String(gid)}'`).catch(() => undefined)
}

t.test(
  `beside ${KILLS} kills, rebuilds, erasures and open transactions, seed ${SEED}`,
  { timeout: 3_600_000 },
  async (t) => {
    const all = troubles({ url, databases, session, random, histories: HISTORIES })
    const paces = allReaders.map(({ name, step }, index): Trouble => {
      return { name: `read ${name}`, once: async () => (await step(), pause(random(30 + 60 * index))) }
    })
    const killer = { name: 'a connection ended', once: async () => (await sql(victimsSql), pause(random(1_500))) }
    const loops = [...all, ...paces, killer].map(keepDoing)
    const kills = { left: KILLS }
    const writers = Promise.all(Array.from({ length: WRITERS }, (_, number) => killedWriter(t, number, kills)))
    await Promise.race([writers, eventually(() => kills.left <= KILLS / 2, { deadlineMs: 3_600_000 })])
    await server.kill()
    await server.restart()
    count('servers killed')
    await writers
    run.isOver = true
    const beside = { isEnded: false }
    const ended = Promise.all(loops).then(() => void (beside.isEnded = true))
    // The connection that has prepared a transaction may be gone, and a rebuild may wait for its row.
    while (!beside.isEnded) await endTransactions().then(() => pause(100))
    await ended
    t.comment(JSON.stringify(done))
  },
)

t.test('every reader of ticks has made the tables of what it read; each control is seen to fail', async (t) => {
  await endTransactions()
  await eventually(async () => (await makeChangeTick(database)) === 'nothing', { deadlineMs: 30_000 })
  const late = tickReaders(session)
  await readAll([...allReaders, ...late])
  const announced = (await sql(announcedSql)).map(({ seq }) => String(seq))
  const rows = (await sql(foldedRowsSql)) as unknown as readonly (FoldedObject & { readonly id: string })[]
  t.ok(announced.length > HISTORIES && rows.length > HISTORIES, `${announced.length} changes of ${rows.length} rows`)
  for (const { name, fold } of [...readers, ...late]) {
    const verdict = fold.judge(announced)
    t.strictSame(verdict, { read: announced.length, missed: 0, twice: 0, inverted: 0, skipping: 0 }, name)
    t.strictSame(fold.unlike(rows), [], `${name}: the fold equals the tables`)
  }
  const verdicts = Object.entries(controls).map(([name, { fold }]) => [name, fold.judge(announced)] as const)
  for (const [name, verdict] of verdicts) t.comment(name, JSON.stringify(verdict))
  const { bySeq, bySeqOfPast, byTransaction } = Object.fromEntries(verdicts)
  t.ok((bySeq?.missed ?? 0) >= 2, 'by seq: missed')
  t.ok((bySeqOfPast?.missed ?? 0) >= 2, 'by seq below the oldest transaction: missed')
  t.ok((byTransaction?.inverted ?? 0) >= 1, 'by transaction and seq: inverted')
  t.equal(byTransaction?.missed, 0, 'by transaction and seq: misses none')
  t.strictSame(await sql('SELECT * FROM changes_pending'), [])
})
