// How pg behaves without each change of `src/sql/pg-quirks.ts`. A test that fails says that its change may go.
import { setTimeout as delay } from 'node:timers/promises'
import { halfOpenProxy, throwAwayDatabase, type TestScope } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { ClientClosedOnTimeout, destroy, firstProcessOf, resultsOf } from '../../src/sql/pg-quirks.ts'

const { url, server } = await throwAwayDatabase(t, { migrate: false })

async function behindProxy(t: TestScope, Connection: typeof Client) {
  const proxy = await halfOpenProxy({ targetPort: server.port })
  const client = new Connection({ connectionString: url.replace(`:${server.port}/`, `:${proxy.port}/`) })
  client.on('error', () => undefined)
  t.teardown(async () => {
    destroy(client)
    await proxy.close()
  })
  await client.connect()
  await proxy.silent()
  return client
}

const unanswered = { text: 'SELECT 1', query_timeout: 200 }
const isClosed = (client: Client) => client.connection.stream.destroyed

t.test('pg keeps a connection open after a statement without an answer, with a promise and a callback', async (t) => {
  const client = await behindProxy(t, Client)
  await t.rejects(client.query(unanswered), { message: 'Query read timeout' })
  t.notOk(isClosed(client))
  await t.rejects(client.query(unanswered), { message: 'Query read timeout' }, 'the next statement waits as long again')
})

t.test('a connection of ours is closed by then, with a promise and with a callback', async (t) => {
  const client = await behindProxy(t, ClientClosedOnTimeout)
  await t.rejects(client.query(unanswered), { message: 'Query read timeout' })
  t.ok(isClosed(client))
  const other = await behindProxy(t, ClientClosedOnTimeout)
  const error = await new Promise((resolve) => other.query(unanswered, resolve))
  t.match(error, { message: 'Query read timeout' })
  t.ok(isClosed(other))
})

t.test('end() waits for a server that does not answer', async (t) => {
  const client = await behindProxy(t, Client)
  const ended = client.end().then(() => 'ended') // prettier-ignore
  t.equal(await Promise.race([ended, delay(1_000, 'waits')]), 'waits')
})

t.test('the process that opened a session is known by a field without a type', async (t) => {
  const client = new Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
  t.equal(firstProcessOf(client), rows[0]?.pid)
  // The expected error is the check: it ends when the types of pg have the field, and then the cast of the quirk can go.
  // @ts-expect-error The types of pg lack the field.
  t.ok(client.processID)
})

t.test('a text of several statements gives a list that the types do not know', async (t) => {
  const client = new Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  const result = await client.query('SELECT 1 AS one; SELECT 2 AS two')
  t.ok(Array.isArray(result))
  t.match(resultsOf(result), [{ rows: [{ one: 1 }] }, { rows: [{ two: 2 }] }])
  t.match(resultsOf(await client.query('SELECT 3 AS three')), [{ rows: [{ three: 3 }] }])
  // The expected error is the check: it ends when the types of pg know lists of results.
  // @ts-expect-error The types of pg declare one result.
  t.equal(result.length, 2)
})
