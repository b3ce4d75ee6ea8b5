import { access } from 'node:fs/promises'
import t from 'tap'
import { throwAwayCopy, throwAwayDatabase } from '@persona-ingest/testkit'

const tables = `SELECT count(*)::int AS count FROM information_schema.tables WHERE table_schema = 'public'
  AND table_name IN ('events', 'inquiries', 'verifications', 'resources', 'dead_letters')`

t.test('has the tables of the project and goes with its test', async (t) => {
  const folders: string[] = []
  await t.test('inner', async (t) => {
    const { sql, url, server } = await throwAwayDatabase(t)
    folders.push(server.dir)
    t.equal(url, server.url())
    t.same(await sql(tables), [{ count: 5 }])
    t.same(await sql('SELECT $1::text AS given', ['value']), [{ given: 'value' }])
  })
  t.equal(folders.length, 1)
  for (const folder of folders) await t.rejects(access(folder), { code: 'ENOENT' })
})

t.test('two of them share nothing, and without migration there are no tables', async (t) => {
  const start = () => throwAwayDatabase(t, { migrate: false })
  const [first, second] = await Promise.all([start(), start()])
  t.not(first.server.port, second.server.port)
  t.same(await first.sql(tables), [{ count: 0 }])
  await first.sql('CREATE TABLE mine (id int)')
  await t.rejects(second.sql('SELECT * FROM mine'), { code: '42P01' })
})

t.test('copies on one server share nothing, and each goes with its test', async (t) => {
  const original = await throwAwayDatabase(t)
  const databases = () => original.server.sql('SELECT datname FROM pg_database ORDER BY 1', [], 'postgres')
  const before = await databases()
  await t.test('inner', async (t) => {
    const [first, second] = await Promise.all([throwAwayCopy(t, original), throwAwayCopy(t, original)])
    t.same(await first.sql(tables), [{ count: 5 }])
    await first.sql('CREATE TABLE mine (id int)')
    await t.rejects(second.sql('SELECT * FROM mine'), { code: '42P01' })
    t.equal((await databases()).length, before.length + 2)
  })
  t.same(await databases(), before)
})
