import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import t from 'tap'
import { startPostgres, type PostgresServer, type TestScope } from '@persona-ingest/testkit'

async function throwAwayPostgres(t: TestScope, options = {}): Promise<PostgresServer> {
  const server = await startPostgres(options)
  t.teardown(() => server.stop())
  return server
}

async function show(server: PostgresServer, setting: string): Promise<unknown> {
  const rows = await server.sql('SELECT current_setting($1) AS value', [setting])
  return rows[0]?.['value']
}

t.test('listens on the loopback address only, wants a password, and does not sort by bytes', async (t) => {
  const server = await throwAwayPostgres(t)
  t.equal(await show(server, 'listen_addresses'), '127.0.0.1')
  t.equal(await show(server, 'unix_socket_directories'), '')
  t.equal(await show(server, 'server_encoding'), 'UTF8')
  t.equal(await show(server, 'fsync'), 'off')
  const url = new URL(server.url())
  url.password = 'wrong'
  const stranger = new Client({ connectionString: url.href })
  await t.rejects(stranger.connect(), { code: '28P01' })
  t.same(await server.sql(`SELECT 'a' < 'B' AS sorted`), [{ sorted: true }])
})

t.test('settings of the caller win, and a durable server writes through', async (t) => {
  const server = await throwAwayPostgres(t, {
    durable: true,
    settings: { max_connections: '7', timezone: 'Asia/Tokyo' },
  })
  t.equal(await show(server, 'max_connections'), '7')
  t.equal(await show(server, 'TimeZone'), 'Asia/Tokyo')
  t.equal(await show(server, 'fsync'), 'on')
  t.equal(await show(server, 'full_page_writes'), 'on')
})

t.test('committed rows survive a kill, which ends every connection, and a restart on the same port', async (t) => {
  const server = await throwAwayPostgres(t)
  await server.sql('CREATE TABLE kept (id int)')
  await server.sql('INSERT INTO kept VALUES (1)')
  const client = new Client({ connectionString: server.url() })
  await client.connect()
  // More than one may come: the server's last words, then the end of the connection. Each needs a listener.
  const lost = new Promise((resolve) => client.on('error', resolve))
  await server.kill()
  await lost
  await t.rejects(server.sql('SELECT 1'), { code: 'ECONNREFUSED' })
  await server.restart()
  t.same(await server.sql('SELECT * FROM kept'), [{ id: 1 }])
})

t.test('frozen, an open connection stays open and gets no answer; thawed it does', async (t) => {
  const server = await throwAwayPostgres(t)
  const client = new Client({ connectionString: server.url() })
  await client.connect()
  t.teardown(() => client.end())
  await server.freeze()
  const answer = client.query('SELECT 1 AS one').then(({ rows }) => rows)
  const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 100, 'silence'))])
  t.equal(first, 'silence')
  await server.thaw()
  t.same(await answer, [{ one: 1 }])
})

t.test('other databases of the server are reached by name', async (t) => {
  const server = await throwAwayPostgres(t)
  await server.sql('CREATE DATABASE other')
  t.match(server.url('other'), /\/other$/)
  t.same(await server.sql('SELECT current_database() AS name', [], 'other'), [{ name: 'other' }])
  t.same(await server.sql('SELECT current_database() AS name'), [{ name: 'persona_ingest' }])
})

t.test('a given folder keeps its data beyond stop, and has one owner at a time', async (t) => {
  const parent = await throwAwayPostgres(t)
  // Below the folder of a server, which PostgreSQL's user can enter whoever runs this test.
  const dir = join(parent.dir, 'kept')
  const first = await startPostgres({ dir })
  t.teardown(() => first.stop())
  t.equal(await show(first, 'fsync'), 'on')
  await first.sql('CREATE TABLE kept AS SELECT 1 AS id')
  await t.rejects(startPostgres({ dir }), { name: 'LockHeldError' })
  await first.stop()
  const second = await startPostgres({ dir })
  t.teardown(() => second.stop())
  t.same(await second.sql('SELECT * FROM kept'), [{ id: 1 }])
})

t.test('the file of a killed server does not block, also when its number belongs to a stranger', async (t) => {
  const server = await throwAwayPostgres(t)
  await server.kill()
  const file = join(server.dir, 'data/postmaster.pid')
  const lines = (await readFile(file, 'utf8')).split('\n')
  await writeFile(file, [process.pid, ...lines.slice(1)].join('\n'))
  await server.restart()
  t.same(await server.sql('SELECT 1 AS one'), [{ one: 1 }])
})

t.test('a server that can not start says why', async (t) => {
  const error = await startPostgres({ settings: { no_such_setting: '1' } }).catch((error: unknown) => error)
  t.match(error, { message: /^PostgreSQL did not start; the end of its log:\n[^]*no_such_setting/ })
})
