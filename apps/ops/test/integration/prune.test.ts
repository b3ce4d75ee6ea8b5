import { throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { runCli } from '../fixtures/run-cli.ts'
import { runHere } from '../fixtures/run-here.ts'
import { MARKER, START_MS, storeExamples } from '../fixtures/stored-events.ts'

const { url, sql } = await throwAwayDatabase(t)
await storeExamples(url, sql)
await sql(`UPDATE dead_letters SET resolved_at = $1::timestamptz WHERE state = 'discarded'`, [new Date(START_MS).toISOString()]) // prettier-ignore
const env = { DATABASE_URL: url, LOG_LEVEL: 'silent' }
const now = () => START_MS + 30 * 86_400_000 + 150
const ops = async (...args: string[]) => await runHere(args, env, { now })
const wholeEvents = async () =>
  (await sql('SELECT id FROM events WHERE pruned_at IS NULL ORDER BY id')).map(({ id }) => id)

t.test('a dry run counts and takes nothing', async (t) => {
  const { code, stdout, stderr } = await ops('prune', '--older-than', '30', '--dry-run')
  t.strictSame([code, stderr], [0, ''])
  t.match(
    stdout,
    /^events that would lose their payload +2\ndead letters that would go +1\nchanges that would go +0\n$/,
  )
  t.equal((await wholeEvents()).length, 4)
  t.strictSame(await sql('SELECT id FROM operations'), [], 'nothing is recorded')
})

t.test('it shows what would go and asks; only the word yes prunes', async (t) => {
  const asked: string[] = []
  const confirm = async (question: string) => asked.push(question) > 1
  const args = ['prune', '--older-than', '30', '--only', 'dead-letters']
  const refused = await runHere(args, env, { now, confirm })
  t.equal(refused.code, 1)
  t.match(refused.stdout, /would lose their payload +0\ndead letters that would go +1/)
  t.match(refused.stderr, 'nothing was pruned')
  t.equal((await sql('SELECT id FROM dead_letters')).length, 3)
  t.equal((await runHere(args, env, { now, confirm })).code, 0)
  t.equal((await sql('SELECT id FROM dead_letters')).length, 2)
  t.equal((await wholeEvents()).length, 4)
})

t.test('payloads of age go, it is recorded, rows stay, and rebuild still passes', async (t) => {
  const rows = async () => JSON.stringify([await sql('SELECT * FROM inquiries ORDER BY id'), await sql('SELECT * FROM verifications')]) // prettier-ignore
  const before = await rows()
  t.match(before, MARKER)
  const { code, stdout } = await ops('prune', '--older-than', '30', '--yes', '--json', '--reason', 'policy', '--by', 'zoe') // prettier-ignore
  t.equal(code, 0)
  t.strictSame(JSON.parse(stdout), { dry_run: false, older_than_days: 30, events: 2, dead_letters: 0, changes: 0, unreadable_event_ids: [] }) // prettier-ignore
  t.strictSame(await wholeEvents(), ['evt_created', 'evt_odd'])
  t.equal(await rows(), before)
  t.match(await sql('SELECT command, arguments, operator, reason, outcome, counts FROM operations ORDER BY id DESC LIMIT 1'), [
    { command: 'prune', arguments: { older_than_days: 30, only: null }, operator: 'zoe', reason: 'policy', outcome: 'done', counts: { events: 2, dead_letters: 0 } },
  ]) // prettier-ignore
  t.equal((await ops('rebuild', '--verify')).code, 0)
  t.match(JSON.parse((await ops('prune', '--older-than', '30', '--yes', '--json')).stdout), { events: 0 }, 'again')
})

t.test('changes go by CHANGES_KEEP_DAYS, not by --older-than', async (t) => {
  await sql('SELECT make_change_tick()')
  await sql(`UPDATE change_ticks SET at = at - interval '31 days'`)
  const only = ['prune', '--older-than', '1', '--only', 'changes']
  const kept = await runHere([...only, '--yes', '--json'], { ...env, CHANGES_KEEP_DAYS: '32' })
  t.match(JSON.parse(kept.stdout), { events: 0, dead_letters: 0, changes: 0 })
  t.match((await ops(...only, '--dry-run')).stdout, /changes that would go +about 5\n$/)
  t.match(await sql('SELECT count(*)::int FROM changes'), [{ count: 5 }])
  t.match(JSON.parse((await ops(...only, '--yes', '--json')).stdout), { events: 0, dead_letters: 0, changes: 5 })
  t.strictSame(await sql('SELECT count(*)::int FROM changes'), [{ count: 0 }])
  t.match(await sql('SELECT arguments, counts FROM operations ORDER BY id DESC LIMIT 1'), [
    { arguments: { only: 'changes', changes_keep_days: 30 }, counts: { changes: 5 } },
  ])
  t.match(await runHere(only, { ...env, CHANGES_KEEP_DAYS: '0' }, { confirm: async () => true }), {
    code: 1,
    stderr: /CHANGES_KEEP_DAYS/,
  })
})

t.test('events show tells of it', async (t) => {
  t.match((await ops('events', 'show', 'evt_approved')).stdout, /pruned_at +\d{4}-/)
  const raw = await runCli(['events', 'show', 'evt_approved', '--raw'], env)
  t.match(raw.stderr, 'note: this event was pruned')
  t.notMatch(raw.stdout, MARKER)
  t.match(JSON.parse(raw.stdout), { data: { id: 'evt_approved' } })
})

t.test('an event changed by hand is named by prune and by rebuild', async (t) => {
  await sql(`UPDATE events SET payload = '{}' WHERE id = 'evt_created'`)
  const rebuilt = await ops('rebuild')
  t.equal(rebuilt.code, 1)
  t.match(rebuilt.stdout, /events +evt_created +different +payload\n[^]*mended +0\n/)
  t.match(rebuilt.stderr, '1 events of the log were changed by hand: the rows of their objects are left as they are')
  t.match(JSON.parse((await ops('rebuild', '--verify', '--json')).stdout), { faulty_events: 1, differences: { total: 1 } }) // prettier-ignore
  const pruned = await ops('prune', '--older-than', '1', '--yes')
  t.equal(pruned.code, 1)
  t.match(pruned.stderr, /error: 1 events were changed by hand.*: evt_created/)
})

t.test('a database that is away ends it with 1, one that is busy too', async (t) => {
  const away = { ...env, DATABASE_URL: 'postgresql://127.0.0.1:1/nothing' }
  t.match(await runHere(['prune', '--older-than', '30', '--yes'], away), { code: 1, stderr: /^error: database: no server listens .*\(ECONNREFUSED\)/ }) // prettier-ignore
})
