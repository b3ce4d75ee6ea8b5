import { makeChangeTick, openDatabase, readTickRange } from '@persona-ingest/database'
import { builtApp, eventually, spawnApp, throwAwayDatabase, type SpawnedApp } from '@persona-ingest/testkit'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { runHere } from '../fixtures/run-here.ts'
import { MARKER, storeExamples } from '../fixtures/stored-events.ts'

const { url, sql, server } = await throwAwayDatabase(t)
await storeExamples(url, sql)
const database = openDatabase({ url, encryptionKeys: [] })
t.teardown(() => database.close())

const tick = async () => eventually(async () => (await makeChangeTick(database)) === 'ticked')
await tick()
const { latest } = await readTickRange(database)
await sql('INSERT INTO change_consumers (name, tick) VALUES ($1, 0)', ['crm'])

const ops = async (...args: string[]) => await runHere(args, { DATABASE_URL: url })
const entry = 'apps/ops/src/main.ts'

async function tail(t: Test, ...args: string[]): Promise<SpawnedApp> {
  const app = await spawnApp({ entry, args: ['changes', 'tail', ...args], env: { DATABASE_URL: url } })
  t.teardown(() => app.kill())
  return app
}

t.test('changes tail prints from a tick, then what comes, and ends with 0 on Ctrl-C', async (t) => {
  const app = await tail(t, '--since', '0')
  await app.waitForLine((line) => / inquiry +inq_1 +1 +approved +event +evt_approved +inq_1$/.test(line))
  t.match(app.lines[0], /^changed_at +family +object_id +version +status +cause +event_id +inquiry_id$/)
  t.match(app.errorLines, ['changes after tick 0; Ctrl-C ends'])
  await sql(`UPDATE inquiries SET status = 'by\u001bhand' WHERE id = 'inq_1'`)
  await tick()
  const line = await app.waitForLine((each) => each.includes('inq_1') && each.includes('→'))
  t.match(line, / inquiry +inq_1 +2 +approved → by\\u001bhand +rebuild +evt_approved +inq_1$/)
  app.signal('SIGINT')
  t.strictSame(await app.exit, { code: 0, signal: null })
  t.notMatch(app.lines.join('\n'), MARKER)
})

t.test("changes tail --json prints an object a line, with the columns' names, from a consumer's cursor", async (t) => {
  const app = await tail(t, '--consumer', 'crm', '--json')
  const line = await app.waitForLine((each) => each.includes('"inq_1"') && each.includes('"version":1'))
  const columns = 'seq family object_id inquiry_id version cause event_id status previous_status changed_at'
  t.equal(Object.keys(JSON.parse(line)).join(' '), columns)
  t.match(JSON.parse(line), {
    seq: Number,
    family: 'inquiry',
    inquiry_id: 'inq_1',
    status: 'approved',
    previous_status: null,
    cause: 'event',
    changed_at: /^\d{4}-.*Z$/,
  })
  app.signal('SIGTERM')
  t.strictSame(await app.exit, { code: 0, signal: null })
  t.strictSame(app.errorLines, [])
  t.strictSame(await sql('SELECT name, tick::text FROM change_consumers'), [{ name: 'crm', tick: '0' }])
})

t.test('changes tail ends when the reader of its output does', async (t) => {
  const command = `${process.execPath} ${await builtApp('ops')} changes tail --json --since 0 | head -n 1`
  const child = spawn('bash', ['-o', 'pipefail', '-c', command], {
    env: { PATH: process.env['PATH'], DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  // A tail that does not end is no child of the test.
  t.teardown(() => child.exitCode ?? process.kill(-(child.pid ?? 0)))
  const ended = once(child, 'exit')
  const [first] = (await once(child.stdout, 'data')) as [Buffer]
  t.match(JSON.parse(first.toString()), { seq: Number })
  // The end of the reader shows at the next write.
  await eventually(async () => {
    await sql(`UPDATE inquiries SET status = 'of ' || clock_timestamp()::text WHERE id = 'inq_2'`)
    await makeChangeTick(database)
    return child.exitCode !== null
  })
  t.strictSame(await ended, [0, null])
})

t.test('changes tail waits out an outage of the database', async (t) => {
  const app = await tail(t, '--json', '--since', '0')
  await app.waitForLine((line) => line.includes('"inq_1"'))
  await server.kill()
  await eventually(() => app.errorLines.length > 0)
  await server.restart()
  t.match(app.errorLines[0], /^database: .+; waiting for it$/)
  await sql(`UPDATE inquiries SET status = 'after' WHERE id = 'inq_1'`)
  await tick()
  await app.waitForLine((line) => line.includes('"status":"after"'))
  app.signal('SIGINT')
  t.strictSame(await app.exit, { code: 0, signal: null })
})

t.test('a tick or a consumer that is not there ends with 1 and a code', async (t) => {
  const after = `${latest + 1_000_000n}`
  for (const [args, message] of [
    [['--since', after], `PERSONA_CURSOR_EXPIRED: tick ${after} is above the latest one`],
    [['--consumer', 'nobody'], 'CONSUMER_UNKNOWN: no consumer of this name'],
  ] as const) {
    const { code, stdout, stderr } = await ops('changes', 'tail', ...args)
    t.strictSame([code, stdout], [1, ''])
    t.match(stderr, `error: ${message}`)
  }
  t.strictSame(await sql('SELECT name FROM change_consumers'), [{ name: 'crm' }])
})

t.test('changes consumers and status tell how far each reader is', async (t) => {
  await sql('INSERT INTO change_consumers (name, tick) VALUES ($1, 999999), ($2, latest_change_tick())', [
    'lost',
    'ahead',
  ])
  await sql(`INSERT INTO notifications (consumer, object_id, version, family, cause, changed_at, state)
    SELECT 'crm', 'inq_' || i, 1, 'inquiry', 'event', now(), CASE WHEN i = 1 THEN 'failed' ELSE 'pending' END
    FROM generate_series(1, 3) i`)
  const [human, document, status, statusDocument] = [
    await ops('changes', 'consumers'),
    await ops('changes', 'consumers', '--json'),
    await runHere(['status'], { DATABASE_URL: url, REDIS_URL: 'redis://127.0.0.1:1' }),
    await runHere(['status', '--json'], { DATABASE_URL: url, REDIS_URL: 'redis://127.0.0.1:1' }),
  ]
  t.match(
    human.stdout,
    /^name +tick +state +changes_behind +behind_for +to_send +failed +updated_at\nlost +999999 +EXPIRED +- +- +0 +0 /,
  )
  t.match(human.stdout, /\ncrm +0 +follows +\d+ +[\d.]+ (ms|s|min) .*2 +1 /)
  t.match(human.stdout, /\nahead +\d+ +follows +0 +0/)
  const { consumers } = JSON.parse(document.stdout)
  t.match(consumers, [
    { name: 'lost', tick: 999_999, expired: true, lag_changes: null, lag_ms: null, updated_at: /Z$/ },
    {
      name: 'crm',
      tick: 0,
      expired: false,
      lag_changes: Number,
      lag_is_exact: true,
      lag_ms: Number,
      notifications_failed: 1,
    },
    { name: 'ahead', expired: false, lag_changes: 0, lag_ms: 0 },
  ])
  t.match(status.stdout, /\nchanges +newest tick \d+ at \d{4}-\S+Z; none waits for a tick\n/)
  t.match(status.stdout, /\nconsumer +lost has EXPIRED at tick 999999: it must read all rows\n/)
  t.match(status.stdout, /\nconsumer +crm is \d+ changes behind, for .+; 2 notifications to send, 1 failed\n/)
  t.match(status.stdout, /\nconsumer +ahead is at the newest tick\n/)
  t.match(JSON.parse(statusDocument.stdout).changes, {
    newest_tick: Number,
    newest_tick_at: /Z$/,
    oldest_tick: 0,
    waiting: 0,
    oldest_waiting_ms: null,
    consumers: [{ name: 'lost' }, { name: 'crm' }, { name: 'ahead' }],
  })
  await sql('DELETE FROM change_consumers')
  t.match(await ops('changes', 'consumers'), { code: 0, stdout: '', stderr: 'no consumers\n' })
})
