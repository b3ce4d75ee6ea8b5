import t from 'tap'
import { readEvent } from '@persona-ingest/persona'
import { openDatabase, storeEvents, tryWriting } from '../../src/index.ts'
import { aDatabase, read } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'

const database = await aDatabase(t)
const { sql, row, store, deliver } = database
t.beforeEach(() => database.empty())

const at = (second: number) => `2026-02-03T10:00:0${second}Z`
const noted = (note: string) => anObject('inquiry', 'inq_1', { attributes: { note } })
const outcomesInLog = () => sql('SELECT id, outcome FROM events ORDER BY id')

t.test('an older event is stored, and changes nothing', async (t) => {
  t.strictSame([...(await store({ id: 'evt_new', createdAt: at(2), data: noted('new') }))], [['evt_new', 'applied']])
  t.strictSame([...(await store({ id: 'evt_old', createdAt: at(1), data: noted('old') }))], [['evt_old', 'stale']])
  t.strictSame(await row('SELECT event_id, attributes FROM inquiries'), {
    event_id: 'evt_new',
    attributes: { note: 'new' },
  })
  t.strictSame(await outcomesInLog(), [
    { id: 'evt_new', outcome: 'applied' },
    { id: 'evt_old', outcome: 'stale' },
  ])
})

t.test('within one batch the newest is applied and the others are stale, whatever their order', async (t) => {
  const events = [
    { id: 'evt_1', createdAt: at(1) },
    { id: 'evt_3', createdAt: at(3) },
    { id: 'evt_2', createdAt: at(2) },
    { id: 'evt_other', createdAt: at(1), data: anObject('inquiry', 'inq_2') },
  ]
  const outcomes = await store(...events)
  t.strictSame(Object.fromEntries(outcomes), {
    evt_1: 'stale', evt_2: 'stale', evt_3: 'applied', evt_other: 'applied',
  }) // prettier-ignore
  for (const { id, outcome } of await outcomesInLog()) t.equal(outcome, outcomes.get(id as string))
})

t.test('exact ties of time: the rank decides, then the id byte by byte', async (t) => {
  await store({ id: 'evt_z', name: 'inquiry.created' })
  t.equal((await store({ id: 'evt_b', name: 'inquiry.approved' })).get('evt_b'), 'applied')
  t.equal((await store({ id: 'evt_a', name: 'inquiry.declined' })).get('evt_a'), 'stale')
  // Capitals come before small dead letters in bytes, after them in the locale of this database.
  t.equal((await store({ id: 'evt_B', name: 'inquiry.declined' })).get('evt_B'), 'stale')
  t.equal((await store({ id: 'evt_c', name: 'inquiry.declined' })).get('evt_c'), 'applied')
})

t.test('the outcome is that of payload.data alone', async (t) => {
  const account = (note: string) => anObject('account', 'act_1', { attributes: { note } })
  await store({ id: 'evt_account', name: 'account.created', createdAt: at(5), data: account('newest') })
  const outcomes = await store({ id: 'evt_inquiry', createdAt: at(4), included: [account('older')] })
  t.equal(outcomes.get('evt_inquiry'), 'applied', 'though the account in it is stale')
  const stale = await store({
    id: 'evt_late', createdAt: at(3), included: [anObject('account', 'act_2'), account('oldest')],
  }) // prettier-ignore
  t.equal(stale.get('evt_late'), 'stale', 'though it brings an account that nobody knew')
  t.strictSame(await sql('SELECT id, event_id FROM resources ORDER BY id'), [
    { id: 'act_1', event_id: 'evt_account' },
    { id: 'act_2', event_id: 'evt_late' },
  ])
})

t.test('a status that only a stale event tells leaves it stale', async (t) => {
  await store({ id: 'evt_new', createdAt: at(2), data: noted('new'), name: 'inquiry.updated-tags' })
  const old = anObject('inquiry', 'inq_1', { attributes: { status: 'pending' } })
  t.equal((await store({ id: 'evt_old', createdAt: at(1), data: old })).get('evt_old'), 'stale')
  t.strictSame(await row('SELECT status, event_id FROM inquiries'), { status: 'pending', event_id: 'evt_new' })
})

t.test('of deliveries with one id the first stored counts, whatever the others say', async (t) => {
  const first = { id: 'evt_1', createdAt: at(1), data: noted('first') }
  await store(first)
  const before = await sql('SELECT * FROM events')
  const again = await store({ id: 'evt_1', createdAt: at(9), name: 'inquiry.approved', data: noted('second') })
  t.strictSame([...again], [['evt_1', 'duplicate']])
  const mixed = await store(
    { id: 'evt_1', createdAt: at(8), data: anObject('inquiry', 'inq_9') },
    { id: 'evt_2', createdAt: at(2), data: noted('other') },
  )
  t.strictSame(Object.fromEntries(mixed), { evt_1: 'duplicate', evt_2: 'applied' })
  t.strictSame(await sql(`SELECT * FROM events WHERE id = 'evt_1'`), before)
  t.strictSame(await sql('SELECT id, attributes FROM inquiries'), [{ id: 'inq_1', attributes: { note: 'other' } }])
})

t.test('twice in one batch: the first counts', async (t) => {
  const outcomes = await store({ data: noted('first') }, { data: noted('second'), createdAt: at(9) })
  t.strictSame([...outcomes], [['evt_1', 'applied']])
  t.strictSame(await row('SELECT attributes FROM inquiries'), { attributes: { note: 'first' } })
  t.strictSame(await row('SELECT count(*)::int FROM events'), { count: 1 })
})

t.test('many writers of one event and one object store it once', async (t) => {
  const writer = openDatabase({ encryptionKeys: [], url: database.url, connections: 8 })
  t.teardown(() => writer.close())
  const all = await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const own = { id: `evt_own_${index}`, createdAt: at(index % 8), data: noted(`${index}`) }
      const events = [{ id: 'evt_shared', createdAt: at(9), data: noted('shared') }, own]
      return storeEvents(writer, events.map((parts) => read({ body: bodyOf(anEvent(parts)) }))) // prettier-ignore
    }),
  )
  const shared = all.map((outcomes) => outcomes.get('evt_shared'))
  t.equal(shared.filter((outcome) => outcome === 'applied').length, 1)
  t.equal(shared.filter((outcome) => outcome === 'duplicate').length, 23)
  t.strictSame(await row('SELECT count(*)::int FROM events'), { count: 25 })
  t.strictSame(await row('SELECT event_id FROM inquiries'), { event_id: 'evt_shared' })
})

t.test('a batch that is overtaken again and again runs alone in the end', async (t) => {
  const source = await row(`SELECT pg_get_functiondef('begin_shared_write'::regproc) AS text`)
  t.teardown(() => sql(String(source['text'])))
  await sql(`CREATE OR REPLACE FUNCTION begin_shared_write(expected_epoch bigint) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 723114601
        AND mode = 'ExclusiveLock' AND pid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'the ingest epoch has moved' USING ERRCODE = 'PI001';
      END IF;
    END $$`)
  t.strictSame([...(await store({ id: 'evt_1' }, { id: 'evt_2' })).keys()], ['evt_1', 'evt_2'])
  t.strictSame(await row('SELECT count(*)::int FROM events'), { count: 2 })
})

t.test('a batch is stored whole or not at all', async (t) => {
  const poison = Buffer.from(
    bodyOf(anEvent({ id: 'evt_poison', data: noted('<<>>') })).toString().replace('"<<>>"', '1e200000'),
  ) // prettier-ignore
  await t.rejects(deliver({ body: bodyOf(anEvent({ id: 'evt_good' })) }, { body: poison }))
  for (const table of ['events', 'inquiries', 'objects'])
    t.strictSame(await row(`SELECT count(*)::int FROM ${table}`), { count: 0 }, table)
})

t.test('an empty batch, and the canary, change nothing', async (t) => {
  t.equal((await storeEvents(database.opened, [])).size, 0)
  const before = await row('SELECT epoch FROM ingest_state')
  await tryWriting(database.opened)
  t.strictSame(await row('SELECT epoch FROM ingest_state'), before)
  t.strictSame(await row('SELECT count(*)::int FROM events'), { count: 0 })
})

t.test('what is read back from the log is the same event', async (t) => {
  const body = bodyOf(anEvent({ data: noted('x'), included: [anObject('report/x', 'rep_1')] }), 'camel')
  await deliver({ body })
  const stored = await row('SELECT payload::text AS text, received_at FROM events')
  const again = readEvent({
    body: Buffer.from(stored['text'] as string),
    environment: 'production',
    receivedAtMs: (stored['received_at'] as Date).getTime(),
  })
  const { payloadText: _, document: __, ...event } = read({ body })
  const { payloadText: ___, document: ____, ...reread } = again
  t.strictSame(reread, event)
})
