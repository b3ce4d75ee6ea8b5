import { listInquiries, openDatabase } from '@persona-ingest/database'
import { isPortFree, spawnApp, type SpawnedApp, type TestScope } from '@persona-ingest/testkit'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'

const startDeadlineMs = 60_000

async function aFolder(t: TestScope): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'persona-ingest-dev-'))
  // PostgreSQL's user enters it when root runs this.
  await chmod(folder, 0o755)
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}

async function startDev(t: TestScope, folder: string, env = {}): Promise<SpawnedApp> {
  const app = await spawnApp({
    entry: 'apps/dev/src/main.ts',
    env: { DEV_FOLDER: folder, PORT: '0', METRICS_PORT: '0', ...env },
  })
  t.teardown(() => app.kill())
  return app
}

async function untilDemonstrated(app: SpawnedApp): Promise<void> {
  await app.waitForLine((line) => line.includes('It keeps running; Ctrl-C'), { deadlineMs: startDeadlineMs })
}

function databaseUrl(app: SpawnedApp): string {
  return /postgresql:[^']*/.exec(app.lines.join('\n'))?.[0] ?? ''
}

async function countInquiries(url: string): Promise<number> {
  const database = openDatabase({ encryptionKeys: [], url })
  try {
    return (await listInquiries(database, { limit: 100 })).inquiries.length
  } finally {
    await database.close()
  }
}

t.test('demonstrates, goes on where a killed run ended, and stops on Ctrl-C', async (t) => {
  const folder = await aFolder(t)
  const first = await startDev(t, folder)
  await untilDemonstrated(first)
  const output = first.lines.join('\n')
  t.match(output, /The demonstration: (\d+) events in \d+ deliveries[^]*\n\1 are stored, each once/)
  t.equal(output.match(/^inq_\w+ +(approved|declined) /gm)?.length, 6)
  t.match(output, /redacted/)
  const [, told = '', changes = ''] =
    /the first (\d+) changes of inquiries:\n\ninquiry .*\n-.*\n((?:inq_.*\n)+)/.exec(output) ?? []
  t.equal(changes.match(/^inq_\w+ +\d+ +\S.* (event|redaction) +(evt_\w+|-)$/gm)?.length, Number(told), changes)
  t.ok(Number(told) >= 6)
  t.match(output, 'npx pnpm@12 ops changes tail')

  const other = await startDev(t, folder)
  t.same(await other.exit, { code: 1, signal: null })
  t.match(other.lines.join('\n'), `Another dev runs on ${folder} already, as process ${first.pid}: stop it first.`)

  await first.kill()
  const second = await startDev(t, folder)
  await untilDemonstrated(second)
  t.match(second.lines.join('\n'), 'The database is up to date.')
  t.equal(await countInquiries(databaseUrl(second)), 12)

  const servers = new URL(databaseUrl(second))
  second.signal('SIGINT')
  // Package managers pass the terminal's signal on: the same Ctrl-C comes again.
  second.signal('SIGINT')
  t.same(await second.exit, { code: 0, signal: null })
  t.equal(second.lines.at(-1), 'Everything is stopped.')
  t.match(second.lines.join('\n'), /ingress: drained[^]*worker: drained|worker: drained[^]*ingress: drained/)
  t.equal(await isPortFree(Number(servers.port)), true)
})

t.test('says which app ended by itself and why, and ends with exit code 1', async (t) => {
  const app = await startDev(t, await aFolder(t), { WORKER_CONCURRENCY: 'many' })
  t.same(await app.exit, { code: 1, signal: null })
  t.match(app.errorLines.join('\n'), 'WORKER_CONCURRENCY')
  t.match(app.lines.join('\n'), 'The worker ended unexpectedly (exit code 1).')
})

t.test('starts no server where the environment names one, and says what it can not reach', async (t) => {
  const folder = await aFolder(t)
  const app = await startDev(t, folder, {
    DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none',
    REDIS_URL: 'redis://127.0.0.1:1',
  })
  t.same(await app.exit, { code: 1, signal: null })
  t.notMatch(app.lines.join('\n'), 'runs on port')
  t.match(app.lines.join('\n'), 'ECONNREFUSED')
})
