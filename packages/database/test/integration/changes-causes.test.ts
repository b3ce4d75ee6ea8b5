import t from 'tap'
import { encryptStored, eraseTargets, openDatabase, replayEvent, storeEvents } from '../../src/index.ts'
import { aDatabase, read } from '../fixtures/a-database.ts'
import { aFeed, bareRowSql, feedFaultsSql } from '../fixtures/a-feed.ts'
import { anEvent, anObject, bodyOf, type EventParts } from '../fixtures/an-event.ts'
import { rebuilt, verified } from '../fixtures/rebuilt.ts'
import { aKey } from '../fixtures/some-keys.ts'

const database = await aDatabase(t)
const { sql, store, url, opened } = database
const announced = aFeed(database)
t.beforeEach(() => database.empty())
t.afterEach(async () => {
  const faults = await sql(feedFaultsSql)
  if (faults.length > 0) throw new Error(faults.map(({ fault }) => fault).join('\n'))
})

const at = (second: number) => `2026-02-03T10:00:${String(second).padStart(2, '0')}.000Z`
const inquiry = (attributes: object = {}, relationships: object = {}) => anObject('inquiry', 'inq_1', { attributes, relationships }) // prettier-ignore
const selfie = (attributes: object = {}) => anObject('verification/selfie', 'ver_1', { attributes })
const told = (second: number, parts: EventParts): EventParts => ({
  id: `evt_${second}`,
  createdAt: at(second),
  ...parts,
})
const created = told(1, { data: inquiry({ status: 'created', note: 'x' }), included: [selfie({ note: 'x' })] })
const approved = told(2, { data: inquiry({ status: 'approved', note: 'y' }) })
const redacted = told(9, { name: 'inquiry.redacted', data: inquiry() })

t.test('a delivery is announced as event, what an operator processes again as replay', async (t) => {
  await storeEvents(opened, [read({ body: bodyOf(anEvent(approved)) })], { cause: 'replay' })
  await store(created)
  await sql('DELETE FROM verifications')
  await sql(`UPDATE inquiries SET status = 'lost', event_id = NULL, status_event_id = NULL`)
  await announced()
  t.equal(await replayEvent(opened, 'evt_1'), 'applied')
  t.equal(await replayEvent(opened, 'evt_2'), 'applied')
  t.strictSame(await announced(), [
    'inquiry inq_1 3 replay evt_1 lost>created inq_1',
    'verification ver_1 3 replay evt_1 ->- inq_1',
    'inquiry inq_1 4 replay evt_2 created>approved inq_1',
  ])
  t.equal(await replayEvent(opened, 'evt_2'), 'unchanged')
  t.strictSame(await announced(), [])
})

t.test('events and replays are told apart where both are stored', async (t) => {
  await storeEvents(opened, [read({ body: bodyOf(anEvent(approved)) })], { cause: 'replay' })
  await store(told(3, { data: inquiry({ status: 'declined' }) }))
  t.strictSame(await announced(), [
    'inquiry inq_1 1 replay evt_2 ->approved inq_1',
    'inquiry inq_1 2 event evt_3 approved>declined inq_1',
  ])
})

t.test('a replay that moves a row or redacts is announced as such', async (t) => {
  await store({ ...created, data: anObject('report/x', 'inq_1') }, told(2, { data: inquiry({ status: 'approved' }) }))
  await sql(`DELETE FROM inquiries`)
  await sql(bareRowSql('resource', 'inq_1', 'lost'))
  await sql(`UPDATE objects SET family = 'resource' WHERE id = 'inq_1'`)
  await announced()
  t.equal(await replayEvent(opened, 'evt_2'), 'applied')
  t.strictSame(await announced(), ['inquiry inq_1 4 replay evt_2 lost>approved inq_1'])
})

t.test('a redaction tells its cause for the rows that it reduces and for its own', async (t) => {
  await store(created, approved)
  await announced()
  await store(redacted, told(8, { data: anObject('account', 'act_1') }))
  t.strictSame((await announced()).toSorted(), [
    'inquiry inq_1 2 redaction evt_9 approved>approved inq_1',
    'resource act_1 1 event evt_8 ->- -',
    'verification ver_1 2 redaction evt_1 ->- inq_1',
  ])
})

t.test('a row that a redaction reaches is announced so where it arrives later', async (t) => {
  await store(redacted)
  t.strictSame(await announced(), ['inquiry inq_1 1 redaction evt_9 ->- inq_1'])
  await store(created)
  await store(told(3, { data: inquiry({ note: 'z' }), included: [selfie({ note: 'z' })] }))
  await store(told(10, { data: selfie({ status: 'passed' }) }))
  t.strictSame(await announced(), [
    'inquiry inq_1 2 event evt_9 ->created inq_1',
    'verification ver_1 1 redaction evt_1 ->- inq_1',
    'verification ver_1 2 redaction evt_3 ->- inq_1',
    'verification ver_1 3 event evt_10 ->passed inq_1',
  ])
})

t.test('an erasure tells its cause for the rows that it reduces', async (t) => {
  await store(created, approved, told(3, { data: anObject('account', 'act_1', { attributes: { note: 'x' } }) }))
  await announced()
  const targets = { subject: 'inquiry', inquiryIds: ['inq_1'], accountIds: [], others: [], deadLetterIds: [] } as const
  await eraseTargets(opened, targets, { isDryRun: true, nowMs: Date.parse(at(20)) })
  t.strictSame(await announced(), [], 'a dry run')
  await eraseTargets(opened, targets, { isDryRun: false, nowMs: Date.parse(at(20)) })
  t.strictSame((await announced()).toSorted(), [
    'inquiry inq_1 2 erasure evt_2 approved>approved inq_1',
    'verification ver_1 2 erasure evt_1 ->- inq_1',
  ])
  await eraseTargets(opened, targets, { isDryRun: false, nowMs: Date.parse(at(21)) })
  t.strictSame(await announced(), [], 'again')
})

t.test('a rebuild announces what it repairs, and a comparison nothing', async (t) => {
  await store(created, approved)
  await sql(`UPDATE inquiries SET status = 'tampered'`)
  await announced()
  await verified(url)
  t.strictSame(await announced(), [])
  await rebuilt(url)
  t.strictSame(await announced(), ['inquiry inq_1 3 rebuild evt_2 tampered>approved inq_1'])
  await rebuilt(url)
  t.strictSame(await announced(), [])
})

t.test('a row that a rebuild removes has a null status, and its version goes on where it comes back', async (t) => {
  await sql(bareRowSql('verification', 'ver_1', 'made up'))
  await sql(bareRowSql('resource', 'doc_1', 'made up'))
  await announced()
  await rebuilt(url)
  t.strictSame((await announced()).toSorted(), [
    'resource doc_1 2 rebuild - made up>- -',
    'verification ver_1 2 rebuild - made up>- -',
  ])
  await store(created)
  t.strictSame((await announced()).slice(1), ['verification ver_1 3 event evt_1 ->- inq_1'])
  await store(told(4, { name: 'document.x', data: anObject('document/x', 'doc_1', { attributes: { status: 'a' } }) }))
  t.strictSame(await announced(), ['resource doc_1 3 event evt_4 ->a -'])
})

t.test('a row that a rebuild brings back goes on with its version', async (t) => {
  await store(created)
  await sql('DELETE FROM verifications')
  await announced()
  await rebuilt(url)
  t.strictSame(await announced(), ['verification ver_1 3 rebuild evt_1 ->- inq_1'])
})

t.test('a row that a rebuild moves is one change of the new family', async (t) => {
  await store(created)
  await sql(`INSERT INTO resources (id, environment, type, status, attributes, relationships, version)
    SELECT id, environment, type, 'x', '{}', '{}', version FROM verifications`)
  await sql(`DELETE FROM verifications`)
  await sql('DELETE FROM changes')
  await sql(`UPDATE resources SET status = 'y'`)
  await announced()
  await sql('DELETE FROM changes')
  await rebuilt(url)
  const lines = await announced()
  t.match(lines, [/^verification ver_1 \d+ rebuild evt_1 y>- inq_1$/])
  const [row] = await sql('SELECT version::int FROM verifications')
  t.match(lines[0], ` ${String(row?.['version'])} `)
  await sql('DELETE FROM changes')
  await sql('DELETE FROM verifications')
  await sql('DELETE FROM inquiries')
  await sql('DELETE FROM changes')
})

t.test('what is encrypted in place keeps its version', async (t) => {
  const before = await sql('SELECT id, version::int FROM inquiries')
  await store(created)
  await announced()
  const encryptionKeys = [aKey('a')]
  t.match(await encryptStored({ databaseUrl: url, encryptionKeys }), { 'inquiries.attributes': 1 })
  t.strictSame(await announced(), [])
  t.strictSame(before, [])
  const keyed = openDatabase({ url, encryptionKeys })
  t.teardown(() => keyed.close())
  await storeEvents(keyed, [read({ body: bodyOf(anEvent(approved)) })])
  t.strictSame(await announced(), ['inquiry inq_1 2 event evt_2 created>approved inq_1'])
})

t.test('updates by hand are announced as a rebuild, or with the cause that the transaction sets', async (t) => {
  await store(created)
  await announced()
  await sql(`UPDATE inquiries SET tags = '{by hand}'`)
  await sql(`DO $$ BEGIN SET LOCAL persona_ingest.cause = 'erasure'; UPDATE inquiries SET tags = '{}'; END $$`)
  await sql(`DO $$ BEGIN
    UPDATE inquiries SET tags = '{a}'; SET LOCAL persona_ingest.cause = 'event'; UPDATE inquiries SET tags = '{b}';
  END $$`)
  t.strictSame(
    (await announced()).map((line) => line.split(' ').slice(1, 4).join(' ')),
    ['inq_1 2 rebuild', 'inq_1 3 erasure', 'inq_1 4 rebuild'],
    'of several causes the last in the list counts',
  )
})
