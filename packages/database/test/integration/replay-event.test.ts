import { randomBytes } from 'node:crypto'
import t from 'tap'
import { eventually, tableRows, valuesOf } from '@persona-ingest/testkit'
import {
  countSelectedEvents,
  findBehindEvents,
  listSelectedEvents,
  openDatabase,
  replayEvent,
} from '../../src/index.ts'
import { aDatabase, RECEIVED_AT_MS, read } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, related, type EventParts } from '../fixtures/an-event.ts'

const database = await aDatabase(t)
const { sql, store, deliver } = database
t.beforeEach(() => database.empty())

const created: EventParts = {
  id: 'evt_1',
  name: 'inquiry.created',
  createdAt: '2026-02-03T10:00:00.000Z',
  data: anObject('inquiry', 'inq_1', { attributes: { status: 'created', 'name-first': 'Marked' } }),
  included: [anObject('verification/selfie', 'ver_1', { relationships: { inquiry: related(['inquiry', 'inq_1']) } })],
}
const approved: EventParts = {
  id: 'evt_2',
  name: 'inquiry.approved',
  createdAt: '2026-02-03T10:00:01.000Z',
  data: anObject('inquiry', 'inq_1', { attributes: { status: 'approved' } }),
}
/** All rows but the counter of exclusive writes, which removals raise too. */
async function contents(): Promise<string> {
  const lines = (await tableRows(database.sql)).split('\n')
  return lines.filter((line) => !line.startsWith('public.ingest_state')).join('\n')
}
const status = async () => (await sql('SELECT status FROM inquiries')).map((row) => row['status'])

t.test('a replay changes nothing where nothing is missing, neither in the rows nor in the log', async (t) => {
  await store(created, approved)
  const before = await contents()
  t.equal(await replayEvent(database.opened, 'evt_2'), 'unchanged')
  t.equal(await replayEvent(database.opened, 'evt_1'), 'unchanged')
  t.equal(await contents(), before)
})

t.test('a replay brings back rows and links that are gone; the newest event still wins', async (t) => {
  await store(created, approved)
  const before = await contents()
  for (const table of ['inquiries', 'verifications', 'objects', 'claims', 'event_objects'])
    await sql(`TRUNCATE ${table}`)
  t.strictSame(await findBehindEvents(database.opened, ['evt_1', 'evt_2']), ['evt_1', 'evt_2'])
  t.equal(await replayEvent(database.opened, 'evt_2'), 'applied')
  t.equal(await replayEvent(database.opened, 'evt_1'), 'unchanged', 'its inquiry is newer, its verification comes back')
  t.strictSame(await status(), ['approved'])
  t.equal(await contents(), before)
  t.strictSame(await findBehindEvents(database.opened, ['evt_1', 'evt_2']), [])
})

t.test('a row that fell behind is brought forward', async (t) => {
  await store(created)
  const behind = await sql('SELECT * FROM inquiries')
  await store(approved)
  await sql(`UPDATE inquiries SET status = $1, event_id = $2, event_created_at = $3, event_rank = $4, event_name = $5,
    status_event_id = $2, status_created_at = $3, status_rank = $4`,
    ['status', 'event_id', 'event_created_at', 'event_rank', 'event_name'].map((name) => behind[0]?.[name])) // prettier-ignore
  t.strictSame(await findBehindEvents(database.opened, ['evt_1', 'evt_2']), ['evt_2'])
  t.equal(await replayEvent(database.opened, 'evt_2'), 'applied')
  t.strictSame(await status(), ['approved'])
})

t.test('an event that is not in the log is missing, and nothing is written', async (t) => {
  const before = await contents()
  t.equal(await replayEvent(database.opened, 'evt_unknown'), 'missing')
  t.equal(await contents(), before)
})

t.test('a replay brings back nothing of what a redaction took', async (t) => {
  await store(created, approved)
  await store({ id: 'evt_3', name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:02.000Z' })
  const before = await contents()
  t.notMatch(before, 'Marked')
  for (const table of ['inquiries', 'verifications']) await sql(`TRUNCATE ${table}`)
  for (const id of ['evt_1', 'evt_2', 'evt_3']) await replayEvent(database.opened, id)
  t.equal(await contents(), before)
})

t.test('a lost claim on a redacted inquiry that a replay restores erases what it claims', async (t) => {
  const selfie = anObject('verification/selfie', 'ver_1', { attributes: { 'name-first': 'Marked' } })
  await store({ ...created, included: [selfie] }, { id: 'evt_9', name: 'verification.passed', data: selfie })
  await sql('TRUNCATE claims, event_objects')
  await store({ id: 'evt_3', name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:02.000Z' })
  t.match(await contents(), 'Marked')
  await replayEvent(database.opened, 'evt_1')
  const [log] = await sql(`SELECT payload::text AS payload FROM events WHERE id = 'evt_9'`)
  t.notMatch(String(log?.['payload']), 'Marked')
  t.strictSame(await sql('SELECT attributes FROM verifications'), [{ attributes: {} }])
})

t.test('many replays at once, with deliveries between them', async (t) => {
  const events = Array.from({ length: 30 }, (_, index) => ({
    ...approved,
    id: `evt_${index}`,
    createdAt: new Date(RECEIVED_AT_MS + index).toISOString(),
    data: anObject('inquiry', 'inq_1', { attributes: { status: `s${index}` } }),
  }))
  await store(...events.slice(0, 20))
  await sql('TRUNCATE inquiries, objects')
  await Promise.all([
    ...events.slice(0, 20).map(({ id }) => replayEvent(database.opened, id)),
    ...events.slice(20).map((event) => store(event)),
  ])
  t.strictSame(await status(), ['s29'])
})

t.test('large replays leave a connection to other statements', async (t) => {
  const two = openDatabase({ url: database.url, encryptionKeys: [], connections: 2 })
  t.teardown(() => two.close())
  const ids = ['evt_1', 'evt_2', 'evt_3']
  // Random, so that PostgreSQL does not compress it.
  const attributes = () => ({ note: randomBytes(20_000).toString('hex') })
  await store(
    ...ids.map((id) => ({ ...created, id, data: anObject('inquiry', `inq_${id}`, { attributes: attributes() }) })),
  )
  const rows = async () => valuesOf(await sql('SELECT * FROM inquiries ORDER BY id'))
  const before = await rows()
  await sql('TRUNCATE inquiries')
  await sql(
    `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$`,
  )
  await sql('CREATE TRIGGER wait BEFORE INSERT ON inquiries FOR EACH ROW EXECUTE FUNCTION wait()')
  t.teardown(() => sql('DROP FUNCTION IF EXISTS wait() CASCADE'))
  let ended = 0
  const replays = ids.map((id) => replayEvent(two, id).finally(() => (ended += 1)))
  const sleeping = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event = 'PgSleep'`
  await eventually(async () => Number((await sql(sleeping))[0]?.['count']) > 0)
  await two.prisma.$queryRawUnsafe('SELECT 1')
  t.equal(ended, 0, 'it did not wait for the end of a replay')
  t.strictSame(await Promise.all(replays), ['applied', 'applied', 'applied'])
  t.strictSame(await rows(), before)
})

t.test('events are selected by id, by inquiry and by the time of receipt, in the order of receipt', async (t) => {
  const receivedAtMs = [3, 1, 2, 2].map((seconds) => RECEIVED_AT_MS + seconds * 1000)
  const bodies = [
    created,
    approved,
    { id: 'evt_3', data: anObject('inquiry', 'inq_2') },
    { id: 'evt_4', name: 'verification.passed', data: anObject('verification/selfie', 'ver_1') },
  ].map((parts, index) => ({ body: bodyOf(anEvent(parts)), receivedAtMs: receivedAtMs[index] as number }))
  await deliver(...bodies)
  t.equal(read(bodies[0] as { body: Uint8Array }).id, 'evt_1')
  const at = (seconds: number) => new Date(RECEIVED_AT_MS + seconds * 1000)
  const cases = [
    [{}, ['evt_2', 'evt_3', 'evt_4', 'evt_1']],
    [{ ids: ['evt_1', 'evt_3', 'evt_unknown'] }, ['evt_3', 'evt_1']],
    [{ inquiryId: 'inq_1' }, ['evt_2', 'evt_4', 'evt_1']],
    [{ since: at(2) }, ['evt_3', 'evt_4', 'evt_1']],
    [{ since: at(2), until: at(3) }, ['evt_3', 'evt_4']],
    [{ inquiryId: 'inq_1', until: at(3) }, ['evt_2', 'evt_4']],
    [{ inquiryId: 'inq_unknown' }, []],
  ] as const
  for (const [selection, expected] of cases) {
    const found = await listSelectedEvents(database.opened, selection, null)
    t.strictSame(
      found.map(({ id }) => id),
      expected,
    )
    t.equal(await countSelectedEvents(database.opened, selection), expected.length)
    const [first = null] = found
    const rest = await listSelectedEvents(database.opened, selection, first)
    if (first !== null) t.strictSame(rest, found.slice(1), 'the next page goes on behind it')
  }
})
