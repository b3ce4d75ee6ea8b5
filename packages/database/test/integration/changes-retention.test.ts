import { readFile } from 'node:fs/promises'
import { eventually } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { dropOldChanges, makeChangeTick, openDatabase } from '../../src/index.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anObject } from '../fixtures/an-event.ts'

const database = await aDatabase(t)
const { sql, store, url } = database
await sql(await readFile(new URL('../../../../deploy/postgres/roles.sql', import.meta.url), 'utf8'))
await sql(`CREATE ROLE a_worker LOGIN PASSWORD 'w' IN ROLE ingest_rw`)
const asWorker = new URL(url)
Object.assign(asWorker, { username: 'a_worker', password: 'w' })
// All of it is done with the rights of a worker.
const worker = openDatabase({ encryptionKeys: [], url: asWorker.href })
t.teardown(() => worker.close())

let events = 0
const change = async (id: string) => store({ id: `evt_${(events += 1)}`, data: anObject('case', id) })
const tick = async () => eventually(async () => (await makeChangeTick(worker)) === 'ticked')
const kept = async () =>
  (await sql('SELECT object_id FROM changes ORDER BY seq')).map((row) => String(row['object_id']))
const slot = async () => Number((await sql('SELECT slot FROM change_feed'))[0]?.['slot'])
/** Moves the time of all ticks and of the partition into the past. */
const age = async (days: number) => {
  await sql(`UPDATE change_ticks SET at = at - $1::int * interval '1 day'`, [days])
  await sql(`UPDATE change_feed SET slot_since = slot_since - $1::int * interval '1 day'`, [days])
}
/** A change with a tick of its own. */
async function ticked(id: string): Promise<void> {
  await change(id)
  await tick()
}
const codeOf = async (work: Promise<unknown>) => work.then(() => 'none', (error: { code?: string }) => error.code) // prettier-ignore

/** Changes of one transaction, more or less than the drop deletes one by one. */
const many = async (count: number) =>
  sql(`INSERT INTO changes (slot, family, object_id, version, cause) SELECT slot, 'resource', 'many', 1, 'event'
    FROM change_feed, generate_series(1, $1::int)`, [count]) // prettier-ignore

t.beforeEach(async () => {
  await sql('TRUNCATE resources')
  await sql('TRUNCATE changes, change_ticks, removed_objects, events, objects')
  await sql('UPDATE change_feed SET oldest_tick = 0, slot = 0, slot_since = clock_timestamp()')
})

t.test('what is younger than the days stays, and another partition is filled after a sixth of them', async (t) => {
  await ticked('a')
  t.equal(await dropOldChanges(worker, 30), 0)
  t.equal(await slot(), 0)
  await age(6)
  t.equal(await dropOldChanges(worker, 30), 0)
  t.equal(await slot(), 1, 'after five days')
  await ticked('b')
  t.strictSame(await sql('SELECT object_id, slot FROM changes ORDER BY seq'), [
    { object_id: 'a', slot: 0 },
    { object_id: 'b', slot: 1 },
  ])
  t.strictSame(await sql('SELECT oldest_tick::int FROM change_feed'), [{ oldest_tick: 0 }])
})

t.test('a partition whose changes are all old is emptied whole, with their ticks', async (t) => {
  await ticked('a')
  await ticked('b')
  await age(6)
  await dropOldChanges(worker, 30)
  await ticked('c')
  await age(25)
  t.equal(await dropOldChanges(worker, 30), 1)
  t.strictSame(await kept(), ['c'])
  t.strictSame(await sql('SELECT tick::int FROM change_ticks ORDER BY 1'), [{ tick: 2 }, { tick: 3 }])
  t.strictSame(await sql('SELECT object_id FROM changes_between(2, 3)'), [{ object_id: 'c' }])
  t.equal(await codeOf(sql('SELECT * FROM changes_between(1, 3)')), 'PX001')
  t.equal(await dropOldChanges(worker, 30), 0, 'again')
})

t.test('the last changes are dropped too where nothing came after them', async (t) => {
  await ticked('a')
  await ticked('b')
  await age(40)
  await dropOldChanges(worker, 30)
  await dropOldChanges(worker, 30)
  t.strictSame(await kept(), [])
  t.strictSame(await sql('SELECT * FROM changes_between(2, 2)'), [], 'the latest tick is a cursor still')
  await ticked('c')
  t.strictSame(await sql('SELECT object_id FROM changes_between(2, 3)'), [{ object_id: 'c' }])
})

t.test('of a partition that holds newer changes a rest of at most 20,000 rows is deleted', async (t) => {
  await many(20_001)
  await ticked('a')
  await age(40)
  await ticked('b')
  await sql(`UPDATE change_feed SET slot_since = clock_timestamp()`)
  t.equal(await dropOldChanges(worker, 30), 0)
  t.equal((await kept()).length, 20_003, 'too many')
  t.equal(await codeOf(sql('SELECT * FROM changes_between(0, 2)')), 'PX001', 'the cursor has expired all the same')
  await sql(`DELETE FROM changes WHERE seq IN (SELECT seq FROM changes WHERE object_id = 'many' LIMIT 2)`)
  t.equal(await dropOldChanges(worker, 30), 0)
  t.strictSame(await kept(), ['b'])
})

t.test(
  'a reader that holds a partition stops neither writers nor the drop for long, and has expired after it',
  async (t) => {
    await many(20_001)
    await ticked('a')
    await age(6)
    await dropOldChanges(worker, 30)
    await ticked('b')
    await age(25)
    const reader = new Client({ connectionString: url })
    await reader.connect()
    t.teardown(() => reader.end())
    await reader.query('BEGIN')
    t.equal((await reader.query('SELECT * FROM changes_between(0, 2)')).rowCount, 20_003)
    const begunAtMs = performance.now()
    const dropping = dropOldChanges(worker, 30)
    await Promise.all([change('c'), change('d')])
    t.equal(await dropping, 0)
    t.ok(performance.now() - begunAtMs < 5_000, 'within the time that a lock may take, on a busy machine')
    t.equal(await codeOf(reader.query('SELECT * FROM changes_between(0, 2)')), 'PX001')
    await reader.query('ROLLBACK')
    t.equal(await dropOldChanges(worker, 30), 1, 'a later call empties it')
    t.strictSame((await kept()).toSorted(), ['b', 'c', 'd'])
  },
)
