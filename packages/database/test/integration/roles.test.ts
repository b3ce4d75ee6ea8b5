import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import {
  beginConsumer,
  claimNotification,
  holdReading,
  keepNotifications,
  leaveReading,
  openDatabase,
  prune,
  settleSent,
  storeDeadLetter,
  storeEvents,
  tryWriting,
} from '../../src/index.ts'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { read } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'

const { url, sql } = await throwAwayDatabase(t)
const roles = await readFile(new URL('../../../../deploy/postgres/roles.sql', import.meta.url), 'utf8')
await sql(roles)
await sql(roles)
await sql(`CREATE ROLE a_worker LOGIN PASSWORD 'w' IN ROLE ingest_rw`)
await sql(`CREATE ROLE a_notifier LOGIN PASSWORD 'n' IN ROLE ingest_notify`)
await sql(`CREATE ROLE a_reader LOGIN PASSWORD 'r' IN ROLE ingest_ro`)

function as(user: string, password: string): string {
  const own = new URL(url)
  own.username = user
  own.password = password
  return own.href
}

const MARK = 'Marked-Person'
const inquiry = (more: object = {}) =>
  anObject('inquiry', 'inq_1', {
    attributes: { status: 'approved', 'reference-id': MARK, tags: [MARK], fields: { n: MARK }, note: MARK, ...more },
  })
const at = (second: number): string => new Date(Date.UTC(2026, 1, 3, 10, 0, second)).toISOString()

t.test(
  'ingest_rw may do all that a worker does, a redaction and a prune included, and nothing to the schema',
  async (t) => {
    const database = openDatabase({ encryptionKeys: [], url: as('a_worker', 'w') })
    t.teardown(() => database.close())
    const { prisma } = database
    await tryWriting(database)
    await storeEvents(database, [read({ body: bodyOf(anEvent({ id: 'evt_1', createdAt: at(1), data: inquiry() })) })])
    const selfie = anObject('verification/selfie', 'ver_1', { attributes: { 'country-code': 'JP', checks: [MARK] } })
    await storeEvents(database, [read({ body: bodyOf(anEvent({ id: 'evt_2', createdAt: at(2), data: selfie })) })])
    const deadLetter = {
      environment: 'production',
      reason: 'INVALID_JSON',
      error: 'x',
      receivedAtMs: 1,
      attempts: 0,
    } as const
    await storeDeadLetter(database, { ...deadLetter, eventId: null, body: Buffer.from(MARK) })
    const redacted = anEvent({
      id: 'evt_3',
      name: 'inquiry.redacted',
      createdAt: at(3),
      data: anObject('inquiry', 'inq_1'),
    })
    await storeEvents(database, [read({ body: bodyOf(redacted) })])
    t.same(await sql('SELECT count(*)::int AS count FROM events'), [{ count: 3 }])
    const tomorrow = new Date(Date.now() + 86_400_000)
    t.match(await prune({ encryptionKeys: [], databaseUrl: as('a_worker', 'w'), eventsBefore: tomorrow, deadLettersBefore: tomorrow }), { events: 3 }) // prettier-ignore
    for (const statement of ['DROP TABLE events', 'CREATE TABLE x (id int)', 'ALTER TABLE events ADD COLUMN x int'])
      await t.rejects(prisma.$executeRawUnsafe(statement), /42501/, statement)
    await t.rejects(prisma.$executeRawUnsafe(`UPDATE _prisma_migrations SET checksum = ''`), /42501/)
  },
)

t.test('ingest_ro reads statuses, times and links, and no personal column', async (t) => {
  await sql('DELETE FROM redactions')
  await sql(`UPDATE inquiries SET reference_id = $1, attributes = jsonb_build_object('n', $1::text)`, [MARK])
  const database = openDatabase({ encryptionKeys: [], url: as('a_reader', 'r') })
  t.teardown(() => database.close())
  const query = (text: string) => database.prisma.$queryRawUnsafe<readonly Record<string, unknown>[]>(text)
  t.match(await query('SELECT id, status FROM readable.inquiries'), [{ id: 'inq_1', status: 'approved' }])
  t.match(await query('SELECT inquiry_id, status FROM readable.inquiry_timeline'), [{ inquiry_id: 'inq_1' }])
  const views = await sql(`SELECT table_name AS name FROM information_schema.views WHERE table_schema = 'readable'`)
  t.ok(views.length >= 6)
  for (const { name } of views)
    t.notMatch(JSON.stringify(await query(`SELECT r::text FROM readable."${String(name)}" r`)), MARK)
  const tables = await sql(`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`)
  for (const { name } of tables)
    await t.rejects(query(`SELECT * FROM public."${String(name)}"`), /42501/, `public.${String(name)}`)
  await t.rejects(database.prisma.$executeRawUnsafe(`DELETE FROM readable.inquiries`), /42501/)
})

t.test('a worker of an older version goes on through a migration, without another run of roles.sql', async (t) => {
  const migrations = new URL('../../../../prisma/migrations/', import.meta.url)
  const names = (await readdir(migrations, { withFileTypes: true })).filter((each) => each.isDirectory())
  const feed = '20261130090000_change_feed'
  const older = names.map(({ name }) => name).filter((name) => name < feed)
  const own = await throwAwayDatabase(t, { migrate: older.toSorted() })
  await own.sql(roles)
  await own.sql(await readFile(new URL(`${feed}/migration.sql`, migrations), 'utf8'))
  await own.sql(`SET ROLE ingest_rw; INSERT INTO inquiries (id, environment, status, tags, attributes, fields, relationships)
    VALUES ('inq_1', 'production', 'created', '{}', '{}', '{}', '{}')`)
  await own.sql('SET ROLE ingest_rw; SELECT make_change_tick()')
  t.match(await own.sql('SELECT object_id, cause FROM changes_between(0, 1)'), [
    { object_id: 'inq_1', cause: 'rebuild' },
  ])
})

t.test('ingest_notify may do all that the notifier does, and reads no personal column', async (t) => {
  const database = openDatabase({ encryptionKeys: [], url: as('a_notifier', 'n') })
  t.teardown(() => database.close())
  const query = (text: string) => database.prisma.$queryRawUnsafe<readonly Record<string, unknown>[]>(text)
  const consumer = 'notifier'
  await beginConsumer(database, consumer, 'now')
  t.ok(await holdReading(database, { consumer, holder: 'h', holdMs: 1_000 }))
  await query('SELECT count(*)::int AS count FROM changes_between(0, latest_change_tick())')
  const change = {
    family: 'inquiry',
    objectId: 'inq_1',
    inquiryId: 'inq_1',
    version: 1n,
    cause: 'event',
    eventId: null,
  } as const
  const kept = { ...change, status: 'approved', previousStatus: null, changedAt: new Date() }
  t.same(await keepNotifications(database.sql, consumer, [kept]), ['inq_1'])
  const claim = { consumer, objectId: 'inq_1', claim: 'c' }
  t.match(await claimNotification(database, { ...claim, claimMs: 1_000 }), { version: 1n })
  t.equal(await settleSent(database, claim, 1n), false)
  await query(`UPDATE change_consumers SET tick = tick WHERE name = 'notifier'`)
  await leaveReading(database, { consumer, holder: 'h' })

  for (const table of ['inquiries', 'verifications', 'resources']) {
    await query(`SELECT id, version::text, event_id, status FROM ${table}`)
    for (const column of ['attributes', 'relationships', '*'])
      await t.rejects(query(`SELECT ${column} FROM ${table}`), /42501/, `${table}.${column}`)
    await t.rejects(query(`DELETE FROM ${table}`), /42501/, `DELETE ${table}`)
  }
  for (const table of ['events', 'dead_letters', 'claims', 'objects', 'operations'])
    await t.rejects(query(`SELECT * FROM ${table}`), /42501/, table)
  for (const statement of ['INSERT INTO changes DEFAULT VALUES', 'DELETE FROM changes', 'SELECT make_change_tick()'])
    await t.rejects(query(statement), /42501/, statement)
})
