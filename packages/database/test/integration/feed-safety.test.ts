import { eventually } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { dropOldChanges, makeChangeTick, type Database } from '../../src/index.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anObject } from '../fixtures/an-event.ts'

type Given = Awaited<ReturnType<typeof aDatabase>>

async function aClient(t: Test, url: string, options = ''): Promise<Client> {
  const client = new Client({ connectionString: url, options })
  client.on('error', () => undefined)
  await client.connect()
  t.teardown(() => client.end())
  return client
}

const ticked = (database: Database) => eventually(async () => (await makeChangeTick(database)) === 'ticked')
const inquiry = (id: string) => ({
  id: `evt_${id}`,
  data: anObject('inquiry', id, { attributes: { status: 'created' } }),
})

/** Two ticks with a change each, the first of them a week old, and its partition not written any more. */
async function anOldTick({ store, opened, sql }: Given): Promise<void> {
  await store(inquiry('inq_old'))
  await ticked(opened)
  await sql(`UPDATE change_feed SET slot = slot + 1`)
  await store(inquiry('inq_new'))
  await ticked(opened)
  await sql(`UPDATE change_ticks SET at = at - interval '7 days' WHERE tick = 1`)
}

const codeOf = async (work: Promise<unknown>) => work.then(() => 'none', (error: { code?: string }) => error.code) // prettier-ignore

t.test('a reader that waits while its changes are dropped is told, and gets no part of them', async (t) => {
  const given = await aDatabase(t)
  await anOldTick(given)
  const dropper = await aClient(t, given.url)
  const reader = await aClient(t, given.url)
  await dropper.query('BEGIN')
  await dropper.query(`SELECT drop_changes(now() - interval '1 day', '1 day')`)
  const read = codeOf(reader.query('SELECT * FROM changes_between(0, 2)'))
  const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%changes_between(0, 2)'`
  await eventually(async () => (await given.sql(waiting)).length === 1)
  await dropper.query('COMMIT')
  t.equal(await read, 'PX001')
})

t.test('a reader whose snapshot is older than a partition that was emptied is refused', async (t) => {
  const given = await aDatabase(t)
  await anOldTick(given)
  const reader = await aClient(t, given.url)
  await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await reader.query('SELECT latest_change_tick()')
  t.equal(await dropOldChanges(given.opened, 1), 1)
  t.equal(await codeOf(reader.query('SELECT * FROM changes_between(0, 2)')), '40001')
  await reader.query('ROLLBACK')
  t.equal(await codeOf(reader.query('SELECT * FROM changes_between(0, 2)')), 'PX001')
  t.equal((await reader.query('SELECT * FROM changes_between(1, 2)')).rowCount, 1)
})

t.test('a reader needs no search path, and a writer by hand none either', async (t) => {
  const { url, store, opened, sql } = await aDatabase(t)
  const verification = anObject('verification/selfie', 'ver_1', { attributes: { status: 'created' } })
  const report = anObject('report/watchlist', 'rep_1', { attributes: { status: 'pending' } })
  await store({ ...inquiry('inq_1'), included: [verification, report] })
  const other = await aClient(t, url, '-c search_path=pg_temp')
  for (const table of ['inquiries', 'verifications', 'resources']) {
    await other.query(`UPDATE public.${table} SET status = 'by hand'`)
    await other.query(`DELETE FROM public.${table}`)
  }
  await ticked(opened)
  const { rows } = await other.query(`SELECT * FROM public.changes_between(0, public.latest_change_tick())`)
  t.equal(rows.length, 9)
  t.equal((await sql('SELECT * FROM changes_pending')).length, 0)
})

t.test('changes are dropped where a publication of all tables asks for the identity of removed rows', async (t) => {
  const given = await aDatabase(t)
  await anOldTick(given)
  // The old change lies beside a new one, so that its partition is not emptied as a whole.
  await given.sql(`UPDATE changes SET slot = 1`)
  await given.sql('CREATE PUBLICATION everything FOR ALL TABLES')
  await dropOldChanges(given.opened, 1)
  t.match(await given.sql('SELECT object_id FROM changes'), [{ object_id: 'inq_new' }])
})

t.test('a row that somebody removes while its next event is stored comes back with the next version', async (t) => {
  const { url, store, sql } = await aDatabase(t)
  await store(inquiry('inq_1'))
  const hand = await aClient(t, url)
  await hand.query('BEGIN')
  await hand.query(`DELETE FROM inquiries WHERE id = 'inq_1'`)
  const stored = store({ ...inquiry('inq_1'), id: 'evt_later', createdAt: '2026-02-03T10:00:20.000Z' })
  await eventually(
    async () => (await sql(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'`)).length === 1,
  )
  await hand.query('COMMIT')
  await stored
  t.match(await sql('SELECT version FROM changes ORDER BY seq'), [{ version: '1' }, { version: '2' }, { version: '3' }])
})

t.test('changes are dropped although the clock ran ahead for a while', async (t) => {
  const given = await aDatabase(t)
  await anOldTick(given)
  await given.sql(`UPDATE change_ticks SET at = now() + interval '10 years' WHERE tick = 1`)
  await given.sql(`UPDATE change_feed SET slot_since = now() + interval '10 years'`)
  await given.store(inquiry('inq_newest'))
  await ticked(given.opened)
  await given.sql(`UPDATE change_ticks SET at = now() - interval '7 days' WHERE tick = 2`)
  await dropOldChanges(given.opened, 1)
  t.match(await given.sql('SELECT oldest_tick FROM change_feed'), [{ oldest_tick: '2' }])
  t.match(await given.sql('SELECT object_id FROM changes'), [{ object_id: 'inq_newest' }])
})

t.test(
  'ticks are made, and changes dropped, only where each statement sees what was committed before it',
  async (t) => {
    const { url } = await aDatabase(t)
    const client = await aClient(t, url)
    for (const call of ['make_change_tick()', `drop_changes(now(), '1 day')`]) {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      t.equal(await codeOf(client.query(`SELECT ${call}`)), 'PI002')
      await client.query('ROLLBACK')
    }
  },
)

t.test('rows that are emptied as a table are announced as removed, and their versions go on', async (t) => {
  const { store, sql, opened } = await aDatabase(t)
  await store(inquiry('inq_1'))
  await sql('TRUNCATE inquiries')
  await store({ ...inquiry('inq_1'), id: 'evt_later', createdAt: '2026-02-03T10:00:20.000Z' })
  await ticked(opened)
  const changes = await sql(`SELECT version, status FROM changes ORDER BY seq`)
  t.strictSame(changes, [{ version: '1', status: 'created' }, { version: '2', status: null }, { version: '3', status: 'created' }]) // prettier-ignore
})

t.test('the cursors of a database that was restored on the same server expire', async (t) => {
  const { store, sql, opened } = await aDatabase(t)
  await store(inquiry('inq_1'))
  await ticked(opened)
  // As a dump leaves it: the number of the table that was dumped.
  await sql('UPDATE change_feed SET changes_oid = changes_oid::bigint - 1')
  await ticked(opened)
  t.match(await sql('SELECT latest_change_tick() AS tick'), [{ tick: '1000001' }])
  t.equal(await codeOf(sql('SELECT * FROM changes_between(1, 1000001)')), 'PX001')
  await store(inquiry('inq_2'))
  await ticked(opened)
  t.match(await sql('SELECT object_id FROM changes_between(1000001, 1000002)'), [{ object_id: 'inq_2' }])
})
