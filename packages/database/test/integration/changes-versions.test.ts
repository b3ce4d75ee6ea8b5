import t from 'tap'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { migrate } from '../../src/index.ts'
import { families, projectionTables } from '../../src/tables.ts'
import { aFeed, bareRowSql, feedFaultsSql } from '../fixtures/a-feed.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anObject, related, type EventParts } from '../fixtures/an-event.ts'

const database = await aDatabase(t)
const { sql, row, store } = database
const announced = aFeed(database)
t.beforeEach(() => database.empty())
t.afterEach(async () => {
  const faults = await sql(feedFaultsSql)
  if (faults.length > 0) throw new Error(faults.map(({ fault }) => fault).join('\n'))
})

const at = (second: number) => `2026-02-03T10:00:${String(second).padStart(2, '0')}.000Z`
const selfie = (id: string, attributes: object = {}, relationships: object = {}) =>
  anObject('verification/selfie', id, { attributes, relationships })
const ofInquiry = (id: string) => ({ inquiry: related(['inquiry', id]) })

/** An event about `inq_1` of that second. */
function told(second: number, attributes: object, more: EventParts = {}): EventParts {
  return { id: `evt_${second}`, createdAt: at(second), data: anObject('inquiry', 'inq_1', { attributes }), ...more }
}
const versionOf = async (table: string, id: string) =>
  (await row(`SELECT version::int FROM ${table} WHERE id = $1`, [id]))['version']

t.test('a new row is announced with version 1, and each change of it with one more', async (t) => {
  await store(told(1, { status: 'created' }))
  await store(told(2, { status: 'pending' }))
  await store(told(3, { status: 'pending', note: 'x' }))
  t.strictSame(await announced(), [
    'inquiry inq_1 1 event evt_1 ->created inq_1',
    'inquiry inq_1 2 event evt_2 created>pending inq_1',
    'inquiry inq_1 3 event evt_3 pending>pending inq_1',
  ])
  t.equal(await versionOf('inquiries', 'inq_1'), 3)
})

t.test('a duplicate announces nothing, nor does a stale delivery that tells nothing new', async (t) => {
  await store(told(5, { status: 'approved' }, { included: [selfie('ver_1', { status: 'passed' })] }))
  await announced()
  await store(told(5, { status: 'approved' }))
  await store(told(5, { status: 'approved' }), told(5, { status: 'declined' }))
  await store(told(4, { status: 'pending', note: 'older' }))
  await store(told(3, {}, { included: [selfie('ver_1', { status: 'submitted' })] }))
  t.strictSame(await announced(), [])
  t.equal(await versionOf('inquiries', 'inq_1'), 1)
})

t.test('a stale delivery that tells the first status or the first claim is announced', async (t) => {
  await store({ id: 'evt_9', createdAt: at(9), name: 'verification.updated', data: selfie('ver_1') }, told(9, {}, { id: 'evt_8' })) // prettier-ignore
  await announced()
  await store(told(2, { status: 'created' }))
  await store({ id: 'evt_3', createdAt: at(3), name: 'verification.x', data: selfie('ver_1', {}, ofInquiry('inq_2')) })
  t.strictSame(await announced(), [
    'inquiry inq_1 2 event evt_8 ->created inq_1',
    'inquiry inq_2 1 event - ->- inq_2',
    'verification ver_1 2 event evt_9 ->- inq_2',
  ])
})

t.test('clocks that move without a column announce nothing', async (t) => {
  await store(told(9, {}, { included: [selfie('ver_1'), anObject('account', 'act_1')] }))
  await store(told(1, { status: 'created' }))
  await store({ id: 'evt_7', createdAt: at(7), data: anObject('inquiry', 'inq_0', { relationships: { a: related(['case', 'case_1']) } }) }) // prettier-ignore
  const clocks = async () =>
    row(`SELECT i.status_event_id AS status, v.claim_event_id AS claim, c.reference_event_id AS reference
      FROM inquiries i, verifications v, resources c WHERE i.id = 'inq_1' AND v.id = 'ver_1' AND c.id = 'case_1'`)
  t.strictSame(await clocks(), { status: 'evt_1', claim: 'evt_9', reference: 'evt_7' })
  await announced()
  await store(told(2, { status: 'created' }))
  await store({ id: 'evt_8', createdAt: at(8), data: anObject('inquiry', 'inq_0', { relationships: { a: related(['case', 'case_1']) } }) }) // prettier-ignore
  await announced()
  await store({ id: 'evt_r', createdAt: at(3), data: anObject('report/x', 'rep_1', { relationships: { a: related(['case', 'case_1']) } }) }) // prettier-ignore
  t.strictSame(
    (await announced()).filter((line) => !/ (rep_1|inq_0) /.test(line)),
    [],
  )
  t.match(await clocks(), { status: 'evt_2', reference: 'evt_8' }, 'they moved')
})

t.test('states that were overtaken in their batch are not announced', async (t) => {
  await store(told(1, { status: 'created' }), told(3, { status: 'approved' }), told(2, { status: 'pending' }))
  t.strictSame(await announced(), ['inquiry inq_1 1 event evt_3 ->approved inq_1'])
})

t.test('an object is announced once in a transaction, however many statements change it', async (t) => {
  await store(told(1, { status: 'created' }))
  await announced()
  await sql(`DO $$ BEGIN
    UPDATE inquiries SET status = 'a' WHERE id = 'inq_1';
    UPDATE inquiries SET status = 'b' WHERE id = 'inq_1';
    DELETE FROM inquiries WHERE id = 'inq_1';
    ${bareRowSql('inquiry', 'inq_1', 'c')};
    UPDATE inquiries SET status = 'd' WHERE id = 'inq_1';
  END $$`)
  t.strictSame(await announced(), ['inquiry inq_1 2 rebuild - created>d inq_1'])
})

t.test('what a savepoint takes back is not announced, what follows it is', async (t) => {
  await store(told(1, { status: 'created' }, { included: [selfie('ver_1')] }))
  await announced()
  await sql(`BEGIN; SAVEPOINT here; UPDATE inquiries SET status = 'a'; ROLLBACK TO here; UPDATE verifications SET status = 'b';
    UPDATE inquiries SET status = 'c'; COMMIT`)
  t.strictSame(await announced(), [
    'verification ver_1 2 rebuild evt_1 ->b inq_1',
    'inquiry inq_1 2 rebuild evt_1 created>c inq_1',
  ])
})

t.test('changes are announced too where constraints are checked at once', async (t) => {
  await store(told(1, { status: 'created' }, { included: [selfie('ver_1')] }))
  await announced()
  await sql(
    `BEGIN; SET CONSTRAINTS ALL IMMEDIATE; UPDATE inquiries SET status = 'a'; UPDATE verifications SET status = 'b'; COMMIT`,
  )
  t.strictSame(await announced(), [
    'inquiry inq_1 2 rebuild evt_1 created>a inq_1',
    'verification ver_1 2 rebuild evt_1 ->b inq_1',
  ])
})

t.test('the inquiry of each family is told: its own, a claim of a type that belongs to one, or none', async (t) => {
  const objects = [
    selfie('ver_1'),
    anObject('report/x', 'rep_1'),
    anObject('inquiry-session', 'iqse_1'),
    anObject('account', 'act_1'),
  ]
  await store(told(1, { status: 'created' }, { included: objects }))
  t.strictSame((await announced()).toSorted(), [
    'inquiry inq_1 1 event evt_1 ->created inq_1',
    'resource act_1 1 event evt_1 ->- -',
    'resource iqse_1 1 event evt_1 ->- inq_1',
    'resource rep_1 1 event evt_1 ->- inq_1',
    'verification ver_1 1 event evt_1 ->- inq_1',
  ])
  await sql(`UPDATE verifications SET status = 'x'`)
  await sql(`UPDATE resources SET status = 'x'`)
  t.strictSame((await announced()).toSorted(), [
    'resource act_1 2 rebuild evt_1 ->x -',
    'resource iqse_1 2 rebuild evt_1 ->x inq_1',
    'resource rep_1 2 rebuild evt_1 ->x inq_1',
    'verification ver_1 2 rebuild evt_1 ->x inq_1',
  ], 'by the trigger too') // prettier-ignore
})

t.test('an object that is known by reference only is announced without an event', async (t) => {
  await store({
    data: anObject('inquiry', 'inq_1', { relationships: { a: related(['verification/selfie', 'ver_1']) } }),
  })
  t.strictSame((await announced()).slice(1), ['verification ver_1 1 event - ->- inq_1'])
})

t.test('a row that moves to another table is one change of the new family', async (t) => {
  await store({ id: 'evt_1', createdAt: at(1), data: selfie('odd_1', { status: 'passed' }, ofInquiry('inq_9')) })
  await announced()
  await store({
    id: 'evt_2',
    createdAt: at(2),
    data: anObject('report/x', 'odd_1', { attributes: { status: 'ready' } }),
  })
  await store({ id: 'evt_3', createdAt: at(3), data: anObject('inquiry', 'odd_1') })
  t.strictSame(await announced(), [
    'resource odd_1 2 event evt_2 passed>ready inq_9',
    'inquiry odd_1 3 event evt_3 ready>ready odd_1',
  ])
  t.equal(await versionOf('inquiries', 'odd_1'), 3)
})

t.test('rows from before the feed have version 1, are not announced, and go on from there', async (t) => {
  const migrations = (await sql('SELECT migration_name AS name FROM _prisma_migrations ORDER BY 1')).map(({ name }) => String(name)) // prettier-ignore
  const before = migrations.filter((name) => !name.endsWith('_change_feed')).filter((name) => name < '20261130')
  const old = await throwAwayDatabase(t, { migrate: before })
  for (const family of families) await old.sql(bareRowSql(family, `old_${family}`, 'old'))
  await migrate({ databaseUrl: old.url })
  const oldFeed = aFeed(old)
  t.strictSame(await oldFeed(), [])
  await old.sql(`UPDATE resources SET attributes = '{"a": 1}'`)
  t.strictSame(await oldFeed(), ['resource old_resource 2 rebuild - old>old -'])
  t.strictSame(await old.sql(`SELECT version::int FROM inquiries UNION ALL SELECT version::int FROM verifications`), [
    { version: 1 },
    { version: 1 },
  ])
})

/** Clocks of parts of a row, which no program may rely on. */
const HIDDEN = /^(status|claim|reference)_(event_id|created_at|rank)$|^claim_strength$/
/** A value of each type that the row does not have. */
const OTHER: Readonly<Record<string, string>> = {
  text: `'other'`,
  smallint: '42',
  jsonb: `'{"other": 1}'`,
  ARRAY: `'{other}'`,
  'timestamp with time zone': `'2001-02-03'`,
}

for (const { name, family, claimColumn } of Object.values(projectionTables)) {
  t.test(`a change of any column of ${name} that programs may rely on is announced, of no other`, async (t) => {
    await sql(bareRowSql(family, 'x_1', 'open'))
    if (family !== 'inquiry') await sql(`UPDATE ${name} SET type = 'verification/x'`)
    await announced()
    const columns = await sql(
      `SELECT column_name AS name, data_type AS type FROM information_schema.columns
       WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'
         AND column_name NOT IN ('id', 'version', 'was_changed', 'previous_status') ORDER BY ordinal_position DESC`,
      [name],
    )
    t.ok(columns.length >= 20)
    for (const { name: column, type } of columns) {
      await sql(`UPDATE ${name} SET ${String(column)} = ${String(OTHER[String(type)])}`)
      // The inquiry of a resource is computed out of its claim; an inquiry shows no claim.
      const isShown = column === claimColumn ? family !== 'inquiry' : !HIDDEN.test(String(column))
      t.equal((await announced()).length, isShown ? 1 : 0, String(column))
    }
    await sql(`UPDATE ${name} SET status = status, was_changed = true, previous_status = 'x'`)
    t.strictSame(await announced(), [], 'the same values again')
  })
}
