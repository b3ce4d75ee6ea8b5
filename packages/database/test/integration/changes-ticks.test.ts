import { chown, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { dropOldChanges, makeChangeTick } from '../../src/index.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anObject } from '../fixtures/an-event.ts'

// A recovery that finds no further log ends as a promotion does: on a new timeline.
const settings = { wal_level: 'replica', restore_command: 'false' }
const database = await aDatabase(t, { settings })
const { sql, store, opened, url, server } = database

const clients = new Set<Client>()
t.teardown(async () => Promise.all([...clients].map((client) => client.end())))
async function aClient(): Promise<Client> {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  clients.add(client)
  return client
}
async function endClients(): Promise<void> {
  await Promise.all([...clients].map((client) => client.end()))
  clients.clear()
}

let events = 0
/** Stores new objects, a change each, in one transaction. */
async function change(...ids: readonly string[]): Promise<void> {
  events += 1
  const parts = ids.map((id) => ({ id: `evt_${id}_${events}`, data: anObject('case', id) }))
  await store(...parts)
}
const tick = async () => eventually(async () => (await makeChangeTick(opened)) === 'ticked')
const latest = async () => Number((await sql('SELECT latest_change_tick()::int AS tick'))[0]?.['tick'])
const between = async (after: number | string, upTo: number | string) =>
  (await sql(`SELECT object_id FROM changes_between(${after}, ${upTo})`)).map((row) => String(row['object_id']))
const codeOf = async (after: number | string, upTo: number | string) =>
  between(after, upTo).then(() => 'none', (error: { code?: string }) => error.code) // prettier-ignore

t.test('before the first tick the latest is 0, and nothing can be read', async (t) => {
  t.equal(await latest(), 0)
  t.equal(await makeChangeTick(opened), 'nothing')
  t.strictSame(await between(0, 0), [])
  await change('a')
  t.strictSame(await between(0, 0), [], 'not before a tick')
  t.equal(await codeOf(0, 1), '22023')
})

t.test('ticks rise by one, none is made where nothing changed, and each is told to listeners', async (t) => {
  const listener = await aClient()
  const told: string[] = []
  listener.on('notification', ({ channel, payload }) => told.push(`${channel} ${payload ?? ''}`))
  await listener.query('LISTEN persona_changes')
  await eventually(async () => (await makeChangeTick(opened)) === 'ticked')
  await eventually(async () => (await makeChangeTick(opened)) === 'nothing')
  await change('b', 'c')
  await tick()
  await change('d')
  await tick()
  t.equal(await latest(), 3)
  t.strictSame(await sql('SELECT tick::int FROM change_ticks ORDER BY 1'), [{ tick: 1 }, { tick: 2 }, { tick: 3 }])
  await eventually(() => told.length === 3)
  t.strictSame(told, ['persona_changes 1', 'persona_changes 2', 'persona_changes 3'])
})

t.test('two ranges that meet give what the whole range gives', async (t) => {
  t.strictSame(await between(0, 1), ['a'])
  t.strictSame((await between(1, 2)).toSorted(), ['b', 'c'])
  for (let middle = 0; middle <= 3; middle += 1)
    t.strictSame([...(await between(0, middle)), ...(await between(middle, 3))], await between(0, 3), String(middle))
  for (const at of [0, 1, 3]) t.strictSame(await between(at, at), [])
})

t.test('an end that does not exist or lies before the beginning is refused, after an expired beginning', async (t) => {
  t.equal(await codeOf(0, 4), '22023')
  t.equal(await codeOf(2, 1), '22023')
  t.equal(await codeOf(2, 'NULL'), '22023')
  t.equal(await codeOf('NULL', 2), '22023')
  t.equal(await codeOf(4, 4), 'PX001')
  t.equal(await codeOf(4, 1), 'PX001')
  t.equal(await codeOf(9, 12), 'PX001', 'before the end is looked at')
})

t.test('one session makes a tick at a time', async (t) => {
  await change('e')
  const other = await aClient()
  await other.query('BEGIN')
  await eventually(
    async () => (await other.query('SELECT outcome FROM make_change_tick()')).rows[0]?.outcome === 'ticked',
  )
  t.equal(await makeChangeTick(opened), 'busy')
  await other.query('ROLLBACK')
  t.equal(await latest(), 3)
  await tick()
  t.strictSame(await between(3, 4), ['e'])
})

t.test('a transaction that is left open delays nobody, and is read once it commits', async (t) => {
  const foreign = await aClient()
  await foreign.query('BEGIN')
  await foreign.query(`UPDATE resources SET status = 'held' WHERE id = 'a'`)
  await change('f')
  await tick()
  t.strictSame(await between(4, 5), ['f'])
  await change('g')
  await tick()
  t.strictSame(await between(5, 6), ['g'])
  await foreign.query('COMMIT')
  await tick()
  t.strictSame(await between(6, 7), ['a'])
  t.strictSame(await between(4, 7), ['f', 'g', 'a'], 'its number was drawn when it committed')
})

t.test('0 is valid until something was dropped', async (t) => {
  t.equal((await between(0, 7)).length, 8)
  await sql(`UPDATE change_ticks SET at = at - interval '2 days' WHERE tick <= 2`)
  await dropOldChanges(opened, 1)
  t.equal(await codeOf(0, 7), 'PX001')
  t.equal(await codeOf(1, 7), 'PX001')
  t.equal((await between(2, 7)).length, 5, 'the newest tick of those that were dropped is a cursor still')
})

/** Ends the server and starts it by recovery, which does what a promotion does. */
async function promote(): Promise<void> {
  await endClients()
  const file = join(server.dir, 'data', 'recovery.signal')
  await writeFile(file, '')
  const { uid, gid } = await stat(join(server.dir, 'data'))
  await chown(file, uid, gid)
  await server.restart()
  await eventually(async () => (await sql('SELECT NOT pg_is_in_recovery() AS is_over'))[0]?.['is_over'] === true)
}
const timeline = async () => (await sql('SELECT timeline FROM database_lineage()'))[0]?.['timeline']

t.test('after a promotion older ticks are forgotten, and ticks go on a million higher', async (t) => {
  await change('h')
  t.equal(await timeline(), 1)
  await promote()
  t.equal(await timeline(), 2)
  await tick()
  t.equal(await latest(), 1_000_007)
  t.strictSame(await sql('SELECT tick::int FROM change_ticks'), [{ tick: 1_000_007 }])
  for (const cursor of [0, 2, 7, 1_000_006, 1_000_008])
    t.equal(await codeOf(cursor, 1_000_007), 'PX001', String(cursor))
  t.equal((await makeChangeTick(opened)) === 'ticked', false, 'once')
  await change('i')
  await tick()
  t.strictSame(await between(1_000_007, 1_000_008), ['i'])
})

t.test('on another server the changes of the older one are gone too', async (t) => {
  // A dump that was restored elsewhere brings the rows with the identifier of the server that it was made of.
  await sql('UPDATE change_feed SET system_identifier = system_identifier - 1')
  const reader = await aClient()
  await reader.query('BEGIN')
  await reader.query('SELECT count(*) FROM changes')
  await t.rejects(makeChangeTick(opened), { cause: { originalCode: '55P03' } }, 'it does not wait long behind a reader')
  await reader.query('COMMIT')
  await tick()
  t.equal(await latest(), 2_000_008)
  t.strictSame(await sql('SELECT 1 FROM changes'), [])
  t.equal(await codeOf(1_000_008, 2_000_008), 'PX001')
  await change('j')
  await tick()
  t.strictSame(await between(2_000_008, 2_000_009), ['j'])
})

t.test('a tick that is younger than 50 ms makes the next one wait', async () => {
  // A busy machine may need 50 ms from the one call to the other.
  await eventually(async () => {
    await change('e')
    const outcomes = await sql('SELECT (make_change_tick()).outcome FROM generate_series(1, 2)')
    return outcomes[0]?.['outcome'] === 'ticked' && outcomes[1]?.['outcome'] === 'early'
  })
})
