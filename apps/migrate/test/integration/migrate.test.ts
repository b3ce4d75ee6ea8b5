import {
  eventually,
  freePort,
  noPgBouncer,
  spawnApp,
  startPostgres,
  throwAwayDatabase,
  throwAwayPooler,
  type SpawnedApp,
} from '@persona-ingest/testkit'
import t, { type Test } from 'tap'

const { server } = await throwAwayDatabase(t, { migrate: false })

let databases = 0
async function anEmptyDatabase(): Promise<string> {
  const name = `empty_${(databases += 1)}`
  await server.sql(`CREATE DATABASE ${name}`)
  return name
}

async function migrateCommand(t: Test, env: Record<string, string>): Promise<SpawnedApp> {
  const app = await spawnApp({ entry: 'apps/migrate/src/main.ts', env })
  t.teardown(() => app.kill())
  return app
}

const says = (sentence: string) => (line: string) => (JSON.parse(line) as { msg: string }).msg === sentence
const patience = { deadlineMs: 30_000 }

t.test('migrates, and the second time says that there is nothing to do; exit code 0', async (t) => {
  const name = await anEmptyDatabase()
  for (const sentence of ['database migrated', 'database is up to date']) {
    const app = await migrateCommand(t, { DATABASE_URL: server.url(name) })
    t.strictSame(await app.exit, { code: 0, signal: null })
    t.ok(app.lines.some(says(sentence)), sentence)
    t.strictSame(app.errorLines, [])
  }
})

t.test('several commands at once are safe', async (t) => {
  const name = await anEmptyDatabase()
  const apps = await Promise.all([1, 2, 3].map(() => migrateCommand(t, { DATABASE_URL: server.url(name) })))
  for (const app of apps) t.strictSame(await app.exit, { code: 0, signal: null })
  const migrated = apps.filter((app) => app.lines.some(says('database migrated')))
  t.equal(migrated.length, 1)
})

t.test('started while PostgreSQL is away, it waits; a password that is wrong ends it', async (t) => {
  const port = await freePort()
  const app = await migrateCommand(t, {
    DATABASE_URL: `postgresql://postgres:mistaken@127.0.0.1:${port}/persona_ingest`,
  })
  await app.waitForLine(says('database away, waiting'), patience)
  const late = await startPostgres({ port })
  t.teardown(() => late.stop())
  t.strictSame(await app.exit, { code: 1, signal: null })
  t.match(app.errorLines.join(), /28P01/)
  t.notMatch(app.errorLines.join(), /mistaken/)
})

t.test('a PostgreSQL that takes no writes, or is killed, is waited for', async (t) => {
  const own = await startPostgres()
  t.teardown(() => own.stop())
  await own.sql('ALTER DATABASE persona_ingest SET default_transaction_read_only = on')
  const app = await migrateCommand(t, { DATABASE_URL: own.url() })
  await app.waitForLine(says('database away, waiting'), patience)
  await own.kill()
  const waited = app.lines.length
  await eventually(() => app.lines.length > waited, patience)
  await own.restart()
  await own.sql('ALTER DATABASE persona_ingest RESET default_transaction_read_only', [], 'postgres')
  t.strictSame(await app.exit, { code: 0, signal: null })
  t.ok(app.lines.some(says('database migrated')))
})

t.test('what nobody would notice is not waited for; exit code 1 and why', async (t) => {
  const missing = await migrateCommand(t, { DATABASE_URL: server.url('no_such_database') })
  t.strictSame(await missing.exit, { code: 1, signal: null })
  t.match(missing.errorLines.join(), /3D000/)
  const name = await anEmptyDatabase()
  await server.sql('CREATE SEQUENCE inquiry_timeline', [], name)
  const failing = await migrateCommand(t, { DATABASE_URL: server.url(name) })
  t.strictSame(await failing.exit, { code: 1, signal: null })
  t.match(failing.errorLines.join(), /migration failed: .*inquiry_timeline.*42P07/)
})

t.test('an environment at fault is told as a whole; exit code 1', async (t) => {
  const app = await migrateCommand(t, { DATABASE_URL: 'mysql://secret@a/b', LOG_LEVEL: 'loud' })
  t.strictSame(await app.exit, { code: 1, signal: null })
  t.match(app.errorLines.join('\n'), /DATABASE_URL[^]*LOG_LEVEL/)
  t.notMatch(app.errorLines.join('\n'), /secret|loud/)
})

t.test('a pooler of transactions is refused by name; exit code 1', { skip: await noPgBouncer() }, async (t) => {
  const pooler = await throwAwayPooler(t, server, { mode: 'transaction' })
  const app = await migrateCommand(t, { DATABASE_URL: pooler.url(await anEmptyDatabase()) })
  t.strictSame(await app.exit, { code: 1, signal: null })
  t.match(app.errorLines.join(), /migration failed: .*it must pool sessions \(docs\/poolers\.md\)/)
})
