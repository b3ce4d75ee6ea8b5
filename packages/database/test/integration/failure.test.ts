import { Client } from 'pg'
import t from 'tap'
import { eventually, halfOpenProxy, startPostgres, throwAwayDatabase } from '@persona-ingest/testkit'
import {
  countOpenDeadLetters,
  failureOf,
  migrate,
  openDatabase,
  storeDeadLetter,
  storeEvents,
  tryWriting,
  type Failure,
  type Database,
} from '../../src/index.ts'
import { read, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, rawBody } from '../fixtures/an-event.ts'

const { url, sql, server } = await throwAwayDatabase(t)

function open(databaseUrl: string): Database {
  const database = openDatabase({ encryptionKeys: [], url: databaseUrl, connections: 2 })
  t.teardown(() => database.close())
  return database
}
const own = open(url)
const { prisma } = own

/** What becomes of a call that fails; throws where it does not fail. */
async function failureFrom(call: () => Promise<unknown>): Promise<Failure> {
  const failure = await call().then(() => null, failureOf) // prettier-ignore
  if (failure === null) throw new Error('Expected a failure')
  return failure
}

const event = () => read({ body: bodyOf(anEvent()) })
const deadLetter = { eventId: 'evt_1', environment: 'production', reason: 'X', error: 'x', body: Buffer.from('x'), receivedAtMs: RECEIVED_AT_MS, attempts: 1 } as const // prettier-ignore
const nested = `${'['.repeat(20_000)}${']'.repeat(20_000)}`

/** Statements that PostgreSQL refuses; each holds the word MARK where PostgreSQL's own text would quote it. */
const refusals: Record<string, { kind: Failure['kind']; sql: readonly [string, ...unknown[]] }> = {
  '22003': { kind: 'event', sql: ['SELECT ($1::jsonb)::text', '{"MARK":1e200000}'] },
  '22P05': { kind: 'event', sql: ['SELECT ($1::jsonb)::text', '{"MARK":"\\u0000"}'] },
  '22P02': { kind: 'event', sql: ['SELECT $1::text::int', 'MARK'] },
  '22021': { kind: 'event', sql: ['SELECT $1::text', 'MARK\u0000'] },
  '22007': { kind: 'event', sql: ['SELECT $1::text::timestamptz', 'MARK'] },
  '54001': { kind: 'event', sql: ['SELECT ($1::jsonb)::text', nested] },
  '23505': { kind: 'event', sql: [`INSERT INTO redactions SELECT $1, 'e', now(), 1 FROM generate_series(1, 2)`, 'MARK'] },
  '23502': { kind: 'event', sql: ['INSERT INTO claims VALUES ($1, NULL)', 'MARK'] },
  '23514': { kind: 'event', sql: [`UPDATE ingest_state SET id = 2 + length($1)`, 'MARK'] },
  P0001: { kind: 'unclear', sql: [`DO $$ BEGIN RAISE EXCEPTION 'MARK'; END $$`] },
  '53100': { kind: 'unclear', sql: [`DO $$ BEGIN RAISE EXCEPTION 'MARK' USING ERRCODE = '53100'; END $$`] },
  '42P01': { kind: 'outage', sql: ['SELECT 1 FROM "MARK"'] },
  '42703': { kind: 'outage', sql: ['SELECT "MARK" FROM events'] },
  '42883': { kind: 'outage', sql: ['SELECT "MARK"()'] },
} // prettier-ignore

for (const [sqlState, { kind, sql: statement }] of Object.entries(refusals)) {
  t.test(`${sqlState} is ${kind}, on every way through the client, without the text of PostgreSQL`, async (t) => {
    const ways: Record<string, () => Promise<unknown>> = {
      query: () => prisma.$queryRawUnsafe(...(statement as [string])),
      batch: () => prisma.$transaction([prisma.$queryRawUnsafe(...(statement as [string]))]),
      interactive: () => prisma.$transaction((inner) => inner.$queryRawUnsafe(...(statement as [string]))),
    }
    for (const [way, call] of Object.entries(ways)) {
      const failure = await failureFrom(call)
      t.match(failure, { kind, sqlState }, way)
      t.match(failure.description, sqlState)
      t.notMatch(JSON.stringify(failure), 'MARK')
    }
  })
}

t.test('an event with a number that PostgreSQL can not hold is its own fault', async (t) => {
  const poison = rawBody(anEvent({ data: anObject('inquiry', 'inq_1', { attributes: { n: '<<1e200000>>' } }) }))
  const failure = await failureFrom(() => storeEvents(own, [read({ body: poison })]))
  t.match(failure, { kind: 'event', sqlState: '22003' })
})

t.test("nesting beyond JavaScript's stack is the event's fault, a fault of ours is unclear", async (t) => {
  t.match(failureOf(new RangeError('Maximum call stack size exceeded MARK')), { kind: 'unclear', sqlState: null })
  for (const error of [new TypeError('MARK'), new ReferenceError('MARK')]) {
    t.match(failureOf(error), { kind: 'unclear', sqlState: null })
    t.notMatch(failureOf(error).description, 'MARK')
  }
})

t.test('a statement that takes too long is unclear', async (t) => {
  const slow = () =>
    prisma.$transaction([
      prisma.$queryRawUnsafe(`SELECT set_config('statement_timeout', '20', true)`),
      prisma.$queryRawUnsafe('SELECT pg_sleep(60)::text'),
    ])
  t.match(await failureFrom(slow), { kind: 'unclear', sqlState: '57014' })
})

t.test('a deadlock is unclear: it passes when it is tried again', async (t) => {
  const locks = (keys: readonly number[]) =>
    prisma.$transaction(async (inner) => {
      for (const key of keys) {
        await inner.$queryRawUnsafe('SELECT pg_advisory_xact_lock($1::int)::text', key)
        // Both hold their first lock before either asks for its second.
        await inner.$queryRawUnsafe('SELECT pg_sleep(0.2)::text')
      }
    })
  const failure = await failureFrom(() => Promise.all([locks([1, 2]), locks([2, 1])]))
  t.match(failure, { kind: 'unclear', sqlState: '40P01' })
})

/** Every call on the database that the worker makes. */
function callsOn(client: Database): Record<string, () => Promise<unknown>> {
  return {
    storeEvents: () => storeEvents(client, [event()]),
    storeDeadLetter: () => storeDeadLetter(client, deadLetter),
    tryWriting: () => tryWriting(client),
    countOpenDeadLetters: () => countOpenDeadLetters(client),
  }
}

t.test('a database that is not migrated is an outage', async (t) => {
  await sql('CREATE DATABASE empty')
  const client = open(server.url('empty'))
  for (const [name, call] of Object.entries(callsOn(client))) {
    const failure = await failureFrom(call)
    t.equal(failure.kind, 'outage', `${name} ${failure.description}`)
  }
  t.match(await failureFrom(() => storeEvents(client, [event()])), { sqlState: '42P01', description: /run db:migrate/ })
  await sql('CREATE DATABASE half_migrated')
  const half = server.url('half_migrated')
  await migrate({ databaseUrl: half })
  await server.sql('DELETE FROM ingest_state', [], 'half_migrated')
  t.equal((await failureFrom(() => storeEvents(open(half), [event()]))).kind, 'outage')
})

t.test('a read-only database is unclear, and refuses the canary too', async (t) => {
  await sql('CREATE DATABASE read_only')
  await migrate({ databaseUrl: server.url('read_only') })
  await sql('ALTER DATABASE read_only SET default_transaction_read_only = on')
  const client = open(server.url('read_only'))
  const { countOpenDeadLetters: _, ...writes } = callsOn(client)
  for (const [name, call] of Object.entries(writes))
    t.match(await failureFrom(call), { kind: 'unclear', sqlState: '25006' }, name)
})

t.test('too many connections are an outage', async (t) => {
  const small = await startPostgres({ settings: { max_connections: '4', superuser_reserved_connections: '0' } })
  t.teardown(() => small.stop())
  await migrate({ databaseUrl: small.url() })
  const clients = [1, 2, 3, 4].map(() => new Client({ connectionString: small.url() }))
  for (const client of clients) await client.connect()
  const client = open(small.url())
  for (const [name, call] of Object.entries(callsOn(client)))
    t.match(await failureFrom(call), { kind: 'outage', sqlState: '53300' }, name)
  for (const other of clients) await other.end()
  await storeEvents(client, [event()])
})

t.test('no server, no right, no such database: outages', async (t) => {
  for (const address of [
    'postgresql://a:b@127.0.0.1:9/c',
    url.replace(/:[^:@]+@/, ':mistaken@'),
    server.url('no_such_database'),
  ]) {
    for (const [name, call] of Object.entries(callsOn(open(address))))
      t.equal((await failureFrom(call)).kind, 'outage', name)
  }
})

t.test('a connection that breaks, is refused or gets no answer is an outage', async (t) => {
  const proxy = await halfOpenProxy({ targetPort: server.port })
  t.teardown(() => proxy.close())
  const client = open(url.replace(`:${server.port}/`, `:${proxy.port}/`))
  await storeEvents(client, [event()])
  for (const fault of ['refuse', 'reset', 'silent'] as const) {
    await proxy.refuse()
    await proxy[fault]()
    const failures = await Promise.all(Object.entries(callsOn(client)).map(async ([name, call]) => [name, (await failureFrom(call)).kind])) // prettier-ignore
    for (const [name, kind] of failures) t.equal(kind, 'outage', `${fault} ${name}`)
  }
  await proxy.pass()
  await storeEvents(client, [event()])
})

for (const end of ['ended by the administrator', 'killed with its server'] as const) {
  t.test(`a statement that is ${end} is an outage`, async (t) => {
    const own = await startPostgres()
    t.teardown(() => own.stop())
    await migrate({ databaseUrl: own.url() })
    await own.sql(`CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$`) // prettier-ignore
    await own.sql('CREATE TRIGGER wait BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION wait()')
    const client = open(own.url())
    await tryWriting(client)
    const failing = failureFrom(() => storeEvents(client, [event()]))
    const asleep = `FROM pg_stat_activity WHERE wait_event = 'PgSleep'`
    await eventually(async () => (await own.sql(`SELECT pid ${asleep}`)).length > 0)
    if (end === 'killed with its server') await own.kill()
    else await own.sql(`SELECT pg_terminate_backend(pid) ${asleep}`)
    t.equal((await failing).kind, 'outage')
    if (end === 'killed with its server') await own.restart()
    await own.sql('DROP TRIGGER wait ON events')
    t.equal((await storeEvents(client, [event()])).get('evt_1'), 'applied', 'the client recovers by itself')
  })
}
