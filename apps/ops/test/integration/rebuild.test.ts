import { throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { runCli } from '../fixtures/run-cli.ts'
import { runHere } from '../fixtures/run-here.ts'
import { MARKER, storeExamples } from '../fixtures/stored-events.ts'

const { url, sql } = await throwAwayDatabase(t)
await storeExamples(url, sql)
const env = { DATABASE_URL: url, LOG_LEVEL: 'silent' }
const ops = async (...args: string[]) => await runHere(args, env)

t.test('tables that say what the log says pass, for people and for programs', async (t) => {
  const { code, stdout, stderr } = await runCli(['rebuild', '--verify'], env)
  t.strictSame([code, stderr], [0, ''])
  t.match(stdout, /^events read +4\ncompared +2 inquiries, 1 verifications, 2 resources, 5 objects\ndifferences +0\n$/)
  t.match(JSON.parse((await ops('rebuild', '--verify', '--json')).stdout), {
    verified_only: true,
    resumed: false,
    events: 4,
    rows: { inquiries: 2 },
    differences: { total: 0, named: [] },
  })
  t.strictSame(await sql('SELECT id FROM operations'), [], 'nothing was changed, so nothing is recorded')
})

t.test('a row tampered with by SQL is found by --verify and mended by rebuild', async (t) => {
  await sql(`UPDATE inquiries SET status = 'declined', attributes = '{"note": "${MARKER}"}' WHERE id = 'inq_1'`)
  await sql(`DELETE FROM verifications`)
  const verified = await ops('rebuild', '--verify')
  t.equal(verified.code, 1)
  t.match(verified.stdout, /inquiries +inq_1 +different +status, attributes\n/)
  t.match(verified.stdout, /verifications +ver_1 +missing +-\n/)
  t.match(verified.stderr, /error: 2 rows are not what the event log says; `ops rebuild` mends them/)
  t.notMatch(verified.stdout + verified.stderr, MARKER)
  const limited = await ops('rebuild', '--verify', '--json', '--limit', '1')
  t.equal(limited.code, 1)
  t.match(JSON.parse(limited.stdout), {
    differences: { total: 2, missing: 1, different: 1, unexpected: 0, named: [{ table: 'inquiries', id: 'inq_1' }] },
  })

  const rebuilt = await ops('rebuild', '--reason', 'status changed by hand', '--by', 'zoe')
  t.equal(rebuilt.code, 0)
  t.match(rebuilt.stdout, /mended +2\ningestion held off +\d/)
  t.equal((await ops('rebuild', '--verify')).code, 0)
  t.strictSame(await sql('SELECT status FROM inquiries ORDER BY id'), [{ status: 'approved' }, { status: null }])
  t.match(await sql('SELECT command, operator, reason, outcome, counts FROM operations'), [
    { command: 'rebuild', operator: 'zoe', reason: 'status changed by hand', outcome: 'done', counts: { events: 4, missing: 1, different: 1 } },
  ]) // prettier-ignore
})

t.test('a database that is away ends it with 1', async (t) => {
  const away = { ...env, DATABASE_URL: 'postgresql://127.0.0.1:1/nothing' }
  t.match(await runHere(['rebuild', '--verify'], away), { code: 1, stderr: /^error: database: no server listens .*\(ECONNREFUSED\)/ }) // prettier-ignore
})

t.test('wrong usage ends with 2', async (t) => {
  for (const args of [['rebuild', 'inq_1'], ['rebuild', '--limit', 'x']]) t.equal((await runHere(args)).code, 2) // prettier-ignore
})
