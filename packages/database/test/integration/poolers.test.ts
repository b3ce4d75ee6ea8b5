import t from 'tap'
import {
  noPgBouncer,
  throwAwayDatabase,
  throwAwayPooler,
  type PoolerOptions,
  type TestScope,
} from '@persona-ingest/testkit'
import { Client } from 'pg'
import { failureOf, migrate, openDatabase, prune, storeEvents, tryWriting } from '../../src/index.ts'
import { read } from '../fixtures/a-database.ts'
import { anEvent, bodyOf } from '../fixtures/an-event.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'

const skip = await noPgBouncer()

async function behindPooler(t: TestScope, options: PoolerOptions) {
  const { server, sql } = await throwAwayDatabase(t)
  const pooler = await throwAwayPooler(t, server, options)
  return { url: pooler.url(), server, sql, pooler }
}

const events = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => read({ body: bodyOf(anEvent({ id: `evt_${from + index}` })) }))

t.test(
  'session pooling, all else as PgBouncer has it: migrations, events, prune and rebuild work',
  { skip },
  async (t) => {
    const { url, server, sql, pooler } = await behindPooler(t, { mode: 'session' })
    await sql('CREATE DATABASE fresh')
    t.ok((await migrate({ databaseUrl: pooler.url('fresh') })).applied.length > 0)
    t.strictSame(await server.sql('SELECT id FROM ingest_state', [], 'fresh'), [{ id: 1 }])
    const database = openDatabase({ encryptionKeys: [], url, connections: 4 })
    t.teardown(() => database.close())
    await Promise.all([storeEvents(database, events(0, 6)), storeEvents(database, events(6, 12))])
    t.match(await sql('SELECT count(*)::int FROM events'), [{ count: 12 }])
    const limits = { eventsBefore: new Date(0), deadLettersBefore: new Date(0) }
    for (const _ of [1, 2, 3]) await prune({ encryptionKeys: [], databaseUrl: url, ...limits })
    t.strictSame(linesOf(await verified(url)), [])
  },
)

for (const mode of ['transaction', 'statement'] as const)
  t.test(`${mode} pooling is refused by name, whatever is asked`, { skip }, async (t) => {
    const { url, sql } = await behindPooler(t, { mode })
    const database = openDatabase({ encryptionKeys: [], url, connections: 4 })
    t.teardown(() => database.close())
    const { prisma } = database
    const limits = { eventsBefore: new Date(0), deadLettersBefore: null }
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      migrate: () => migrate({ databaseUrl: url }),
      storeEvents: () => storeEvents(database, events(0, 1)),
      transaction: () => prisma.$transaction([prisma.$queryRawUnsafe('SELECT 1')]),
      prune: () => prune({ encryptionKeys: [], databaseUrl: url, ...limits }),
      verify: () => verified(url),
    }
    for (const [name, call] of Object.entries(calls))
      for (const _ of [1, 2]) {
        const failure = await call().then(() => null, failureOf) // prettier-ignore
        t.match(failure, { kind: 'outage', description: /pool sessions/ }, name)
      }
    t.match(await sql('SELECT count(*)::int FROM events'), [{ count: 0 }])
  })

for (const query_wait_timeout of ['120', '1'])
  t.test(
    `a pooler with a session for one client only is no pooler of transactions, waits ${query_wait_timeout} s`,
    { skip },
    async (t) => {
      const { url } = await behindPooler(t, {
        mode: 'session',
        settings: { default_pool_size: '1', query_wait_timeout },
      })
      const database = openDatabase({ encryptionKeys: [], url, connections: 1 })
      t.teardown(() => database.close())
      t.equal((await storeEvents(database, events(0, 1))).size, 1)
    },
  )

t.test('a pooler that takes no further client is no pooler of transactions', { skip }, async (t) => {
  const { url } = await behindPooler(t, { mode: 'session', settings: { max_client_conn: '1' } })
  const database = openDatabase({ encryptionKeys: [], url, connections: 1 })
  t.teardown(() => database.close())
  t.equal((await storeEvents(database, events(0, 1))).size, 1)
})

t.test('a pooler that took no further client is asked again by the next connection', { skip }, async (t) => {
  const { url } = await behindPooler(t, { mode: 'transaction', settings: { max_client_conn: '2' } })
  const occupant = new Client({ connectionString: url })
  await occupant.connect()
  const descriptions = []
  for (const isFull of [true, false]) {
    if (!isFull) await occupant.end()
    const database = openDatabase({ encryptionKeys: [], url, connections: 1 })
    const failure = await tryWriting(database).then(() => null, failureOf) // prettier-ignore
    descriptions.push(failure?.description ?? null)
    await database.close()
  }
  t.match(descriptions, [null, /pool sessions/])
})

t.test('a URL with options that the pooler refuses is told with a page to read', { skip }, async (t) => {
  const { url } = await behindPooler(t, { mode: 'session' })
  const database = openDatabase({ encryptionKeys: [], url: `${url}?options=-c%20jit%3Doff`, connections: 1 })
  t.teardown(() => database.close())
  const failure = await storeEvents(database, events(0, 1)).then(() => null, failureOf) // prettier-ignore
  t.match(failure, { kind: 'outage', sqlState: '08P01', description: /poolers\.md/ })
})
