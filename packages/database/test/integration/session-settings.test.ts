import { Client } from 'pg'
import t from 'tap'
import { eventually, throwAwayDatabase, type TestScope } from '@persona-ingest/testkit'
import { migrate, openDatabase, storeEvents } from '../../src/index.ts'
import { openMaintenance } from '../../src/sql/maintenance-connection.ts'
import { read } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'

/** Settings that would change what our statements do, each with a value that we never want. */
const HOSTILE: Readonly<Record<string, string>> = {
  search_path: 'elsewhere',
  default_transaction_isolation: 'repeatable read',
  timezone: 'Asia/Kolkata',
  datestyle: 'SQL, DMY',
  intervalstyle: 'sql_standard',
  bytea_output: 'escape',
  extra_float_digits: '-15',
  array_nulls: 'off',
  transform_null_equals: 'on',
  row_security: 'on',
  gin_fuzzy_search_limit: '1',
  session_replication_role: 'replica',
  synchronous_commit: 'off',
  lock_timeout: '5s',
  statement_timeout: '5s',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '10min',
  transaction_timeout: '1h',
  jit: 'on',
  plan_cache_mode: 'force_custom_plan',
  log_parameter_max_length_on_error: '-1',
}

/** What each is to be in an ordinary session; a maintenance session or a migration differs where it says so. */
const EXPECTED: Readonly<Record<string, string>> = {
  search_path: 'public, pg_temp',
  default_transaction_isolation: 'read committed',
  timezone: 'UTC',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  array_nulls: 'on',
  transform_null_equals: 'off',
  row_security: 'off',
  gin_fuzzy_search_limit: '0',
  session_replication_role: 'origin',
  synchronous_commit: 'on',
  lock_timeout: '0',
  statement_timeout: '20s',
  idle_in_transaction_session_timeout: '30s',
  idle_session_timeout: '0',
  transaction_timeout: '0',
  jit: 'off',
  plan_cache_mode: 'auto',
  log_parameter_max_length_on_error: '0',
  client_encoding: 'UTF8',
  tcp_user_timeout: '60000',
}

const { url, sql, server } = await throwAwayDatabase(t, { migrate: false })
const showSql = `SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name`
type Shown = { readonly name: string; readonly value: string }
const asRecord = (rows: readonly Shown[]) => Object.fromEntries(rows.map(({ name, value }) => [name, value]))

const options = Object.entries(HOSTILE).map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
const byUrl = (address: string) =>
  `${address}?options=${encodeURIComponent(options.join(' '))}&client_encoding=LATIN1&statement_timeout=1&query_timeout=1`

/** Where each of three sources sets everything otherwise: the address to connect to. */
const SOURCES: Readonly<Record<string, () => Promise<string>>> = {
  role: async () => {
    await sql(`CREATE ROLE persona LOGIN SUPERUSER PASSWORD 'throw-away'`)
    for (const [name, value] of Object.entries(HOSTILE)) await sql(`ALTER ROLE persona SET ${name} = '${value}'`)
    await sql('CREATE DATABASE of_a_role OWNER persona')
    return server.url('of_a_role').replace(/\/\/[^@]+@/, '//persona:throw-away@')
  },
  database: async () => {
    await sql('CREATE DATABASE of_its_own')
    for (const [name, value] of Object.entries(HOSTILE)) await sql(`ALTER DATABASE of_its_own SET ${name} = '${value}'`)
    return server.url('of_its_own')
  },
  URL: async () => {
    await sql('CREATE DATABASE by_url')
    return byUrl(server.url('by_url'))
  },
}

function open(scope: TestScope, databaseUrl: string) {
  const database = openDatabase({ encryptionKeys: [], url: databaseUrl, connections: 4 })
  scope.teardown(() => database.close())
  return database
}

const nameOf = (address: string) => new URL(address).pathname.slice(1)

for (const [source, prepare] of Object.entries(SOURCES)) {
  t.test(`what the ${source} sets otherwise is set as we need it, in every kind of session`, async (t) => {
    const address = await prepare()
    await server.sql('CREATE SCHEMA elsewhere; CREATE SCHEMA persona', [], nameOf(address))
    t.ok((await migrate({ databaseUrl: address })).applied.length > 0)
    t.strictSame((await migrate({ databaseUrl: address })).applied, [], 'the record of migrations is found again')
    const strayed = `SELECT relname FROM pg_class WHERE relnamespace::regnamespace::text IN ('elsewhere', 'persona')`
    t.strictSame(await server.sql(strayed, [], nameOf(address)), [], 'migrations wrote to public alone')

    const names = Object.keys(EXPECTED)
    const own = open(t, address)
    t.strictSame(asRecord(await own.prisma.$queryRawUnsafe<Shown[]>(showSql, names)), EXPECTED)
    const maintenance = await openMaintenance({ databaseUrl: address, encryptionKeys: [] }, 'public')
    t.strictSame(asRecord(await maintenance.query<Shown>(showSql, [names])), {
      ...EXPECTED,
      search_path: 'public',
      statement_timeout: '0',
      idle_session_timeout: '5min',
    })
    await maintenance.close()

    const event = read({ body: bodyOf(anEvent({ data: anObject('inquiry', 'inq_1', { attributes: { status: 'created', 'created-at': '2026-02-03T10:00:00.123Z', 'reference-id': 'ref', tags: ['NULL', 'b'] } }) })) }) // prettier-ignore
    t.equal((await storeEvents(own, [event])).get('evt_1'), 'applied')
    const [row] = await own.prisma.$queryRawUnsafe<{ created_at: Date }[]>('SELECT created_at FROM inquiries')
    t.equal(row?.created_at.toISOString(), '2026-02-03T10:00:00.123Z')
    t.match(await server.sql('SELECT id, tags FROM public.inquiries', [], nameOf(address)), [{ tags: ['NULL', 'b'] }])
    t.strictSame(linesOf(await verified(address)), [])
  })
}

t.test('a stronger synchronous_commit is kept, a weaker one is not', async (t) => {
  for (const [given, kept] of [
    ['remote_apply', 'remote_apply'],
    ['remote_write', 'on'],
    ['local', 'on'],
    ['off', 'on'],
  ] as const) {
    const own = open(t, `${url}?options=${encodeURIComponent(`-c synchronous_commit=${given}`)}`)
    t.match(await own.prisma.$queryRawUnsafe('SHOW synchronous_commit'), [{ synchronous_commit: kept }], given)
  }
})

const HELD_LOCK = 42

/** Holds a redaction back after it has taken its lock and before it is committed. */
const holdRedactionSql = `
CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(${HELD_LOCK}); RETURN NEW; END $$;
CREATE TRIGGER hold BEFORE INSERT ON public.redactions FOR EACH ROW EXECUTE FUNCTION public.hold()`

for (const source of ['URL', 'database'] as const) {
  t.test(`isolation set by the ${source}: an event that crosses a redaction of its inquiry is reduced`, async (t) => {
    const name = `crossing_${source.toLowerCase()}`
    await sql(`CREATE DATABASE ${name}`)
    await migrate({ databaseUrl: server.url(name) })
    const isolation = `default_transaction_isolation`
    if (source === 'database') await sql(`ALTER DATABASE ${name} SET ${isolation} = 'repeatable read'`)
    const option = encodeURIComponent(`-c ${isolation}=repeatable\\ read`)
    const address = source === 'URL' ? `${server.url(name)}?options=${option}` : server.url(name)
    const own = open(t, address)
    await server.sql(holdRedactionSql, [], name)
    const holder = new Client({ connectionString: server.url(name) })
    await holder.connect()
    await holder.query(`SELECT pg_advisory_lock(${HELD_LOCK})`)
    const waiting = async () =>
      (await server.sql(`SELECT pid FROM pg_stat_activity WHERE datname = '${name}' AND wait_event = 'advisory'`)).length // prettier-ignore

    const redacted = { 'redacted-at': '2026-02-03T12:00:00.000Z' }
    const redaction = read({ body: bodyOf(anEvent({ id: 'evt_redacted', name: 'inquiry.redacted', createdAt: '2026-02-03T12:00:00.000Z', data: anObject('inquiry', 'inq_1', { attributes: redacted }) })) }) // prettier-ignore
    const older = read({ body: bodyOf(anEvent({ id: 'evt_older', data: anObject('inquiry', 'inq_1', { attributes: { 'name-first': 'MARK' } }) })) }) // prettier-ignore
    const redacting = storeEvents(own, [redaction])
    await eventually(async () => (await waiting()) === 1)
    const storing = storeEvents(own, [older])
    await eventually(async () => (await waiting()) === 2)
    await holder.end()
    await Promise.all([redacting, storing])
    t.notMatch(JSON.stringify(await server.sql('SELECT payload FROM events', [], name)), 'MARK')
    t.strictSame(linesOf(await verified(address)), [])
  })
}

t.test('a transaction that is not READ COMMITTED may not begin to store events', async (t) => {
  await sql('CREATE DATABASE gate')
  await migrate({ databaseUrl: server.url('gate') })
  const client = new Client({ connectionString: server.url('gate') })
  await client.connect()
  t.teardown(() => client.end())
  for (const isolation of ['REPEATABLE READ', 'SERIALIZABLE'])
    for (const call of ['begin_shared_write(0)', 'begin_exclusive_write()']) {
      await client.query(`BEGIN ISOLATION LEVEL ${isolation}`)
      await t.rejects(client.query(`SELECT ${call}`), { code: 'PI002' }, `${isolation} ${call}`)
      await client.query('ROLLBACK')
    }
  await client.query('SELECT begin_shared_write(0)')
})
