import { halfOpenProxy, spawnApp, startPostgres } from '@persona-ingest/testkit'
import t from 'tap'

t.test('a PostgreSQL that takes connections and says nothing is waited for', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const proxy = await halfOpenProxy({ targetPort: server.port })
  t.teardown(() => proxy.close())
  await proxy.silent()
  const url = server.url().replace(`:${server.port}/`, `:${proxy.port}/`)
  const app = await spawnApp({ entry: 'apps/migrate/src/main.ts', env: { DATABASE_URL: url } })
  t.teardown(() => app.kill())
  // A connection that gets no answer is given up after 10 s.
  await app.waitForLine((line) => line.includes('database away, waiting'), { deadlineMs: 30_000 })
  await proxy.pass()
  t.strictSame(await app.exit, { code: 0, signal: null })
  t.ok(app.lines.some((line) => line.includes('database migrated')))
})
