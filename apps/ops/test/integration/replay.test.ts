import { openDatabase, storeDeadLetter } from '@persona-ingest/database'
import { throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { opsWithQueue } from '../fixtures/running-worker.ts'
import { runHere } from '../fixtures/run-here.ts'
import { deadLetterBodies, MARKER, START_MS, storeExamples } from '../fixtures/stored-events.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const servers = { redisUrl: redis.url, databaseUrl: url }
t.beforeEach(async () => {
  await sql('TRUNCATE events, inquiries, verifications, resources, objects, claims, event_objects, redactions, operations') // prettier-ignore
  await sql('TRUNCATE dead_letters RESTART IDENTITY')
  await storeExamples(url, sql)
})

const eventText = (id: string, createdAt = '2026-02-03T10:00:09.000Z', name = 'inquiry.approved') =>
  JSON.stringify({
    data: {
      type: 'event',
      id,
      attributes: { name, payload: { data: { type: 'inquiry', id: `inq_of_${id}` } }, 'created-at': createdAt },
    },
  })

async function aDeadLetter(eventId: string | null, body: string, reason = 'ATTEMPTS_EXHAUSTED'): Promise<string> {
  const database = openDatabase({ encryptionKeys: [], url })
  const letter = { eventId, environment: 'production' as const, reason, error: 'a test', receivedAtMs: START_MS }
  await storeDeadLetter(database, { ...letter, body: Buffer.from(body), attempts: eventId === null ? 0 : 10 })
  await database.close()
  const [row] = await sql('SELECT max(id)::text AS id FROM dead_letters')
  return String(row?.['id'])
}

const stateOf = async (id: string) => (await sql('SELECT state FROM dead_letters WHERE id = $1', [id]))[0]?.['state']

async function json(t: Test, result: Promise<{ code: number; stdout: string; stderr: string }>, code = 0) {
  const { code: found, stdout, stderr } = await result
  t.equal(found, code, stderr)
  t.notMatch(stdout + stderr, MARKER, 'no personal data')
  return JSON.parse(stdout)
}

t.test('replay returns when enqueued, and with --wait when applied', async (t) => {
  const { ops, producer, startWorker } = opsWithQueue(t, servers)
  await sql('TRUNCATE inquiries, verifications, resources')
  const first = await json(t, ops('replay', 'evt_approved', '--json', '--reason', 'a row was gone', '--by', 'zoe'))
  t.match(first, { selected: 1, enqueued: 1, missing: [], applied: null, not_applied: null })
  await json(t, ops('replay', 'evt_approved', 'evt_created', '--json'))
  t.equal((await producer.counts()).waiting, 2, 'a second wish for the same event adds nothing')
  startWorker()
  const all = await json(t, ops('replay', '--inquiry', 'inq_1', '--wait', '--json'))
  t.match(all, { selected: 3, enqueued: 3, applied: 3, not_applied: [] })
  t.strictSame(await sql('SELECT id, status FROM inquiries'), [{ id: 'inq_1', status: 'approved' }])
  t.equal((await sql('SELECT id FROM verifications')).length, 1)
  const range = ['--since', '2026-02-03T10:00:00.250Z', '--until', '2026-02-03T10:00:00.350Z']
  t.match(await json(t, ops('replay', ...range, '--wait', '--json')), { selected: 1, applied: 1 })
  t.equal((await sql('SELECT id FROM inquiries')).length, 2)
  t.match((await ops('replay', 'evt_odd', '--wait')).stdout, /^selected +1\nenqueued +1\napplied +1\n$/)

  const { operations } = await json(t, ops('operations', 'list', '--json'))
  t.match(operations.at(-1), {
    command: 'replay',
    arguments: { ids: ['evt_approved'], rate: 200 },
    operator: 'zoe',
    reason: 'a row was gone',
    outcome: 'done',
    counts: { enqueued: 1 },
  })
  t.match(operations[1], { arguments: { since: '2026-02-03T10:00:00.250Z' }, counts: { enqueued: 1, applied: 1 } })
  t.ok(operations[0].operator, 'the user of the machine, where nobody is named')
  t.match((await ops('operations', 'list')).stdout, /zoe +replay +ids evt_approved; rate 200 +done +enqueued 1 +a row was gone/) // prettier-ignore
})

t.test('replay says what is not there, and enqueues the rest', async (t) => {
  const { ops } = opsWithQueue(t, servers)
  const result = await ops('replay', 'evt_created', 'evt_unknown', '--json')
  t.match(result.stderr, 'error: events not found: evt_unknown')
  t.match(await json(t, Promise.resolve(result), 1), { enqueued: 1, missing: ['evt_unknown'] })
  t.match(await ops('replay', '--inquiry', 'inq_unknown'), { code: 1, stderr: /no such events/ })
})

t.test('replay keeps to its rate', async (t) => {
  const { ops } = opsWithQueue(t, servers)
  const { tookMs } = await ops('replay', '--inquiry', 'inq_1', '--rate', '4')
  t.ok(tookMs >= 500, `3 events at 4 a second took ${tookMs} ms`)
})

t.test('dead letters are replayed by id, by code and all; success marks them', async (t) => {
  const { ops, startWorker } = opsWithQueue(t, servers)
  startWorker()
  const [one, two, discarded] = [
    await aDeadLetter('evt_a', eventText('evt_a')),
    await aDeadLetter('evt_b', eventText('evt_b'), 'VALUE_REFUSED'),
    await aDeadLetter('evt_c', eventText('evt_c')),
  ]
  await sql(`UPDATE dead_letters SET state = 'discarded', resolved_at = now() WHERE id = $1`, [discarded])
  t.match(await json(t, ops('dead-letters', 'replay', String(one), '--wait', '--json')), {
    enqueued: [{ id: one, event_id: 'evt_a' }],
    refused: [],
    applied: [one],
    failed_again: [],
  })
  t.equal(await stateOf(one), 'replayed')
  t.match(await json(t, ops('dead-letters', 'replay', one, '--json')), { enqueued: [], already_replayed: [one] })
  t.match(await json(t, ops('dead-letters', 'replay', '--code', 'VALUE_REFUSED', '--wait', '--json')), {
    enqueued: [{ id: two }],
    applied: [two],
  })
  t.equal(await stateOf(discarded), 'discarded', 'what was discarded is not meant by a code, or by all')
  t.match(await json(t, ops('dead-letters', 'replay', discarded, '--wait', '--json')), { applied: [discarded] })
  t.strictSame(
    (await sql(`SELECT id FROM events WHERE id IN ('evt_a', 'evt_b', 'evt_c') ORDER BY id`)).map(({ id }) => id),
    ['evt_a', 'evt_b', 'evt_c'],
  )
})

t.test('the change feed tells what an operator replays', async (t) => {
  const { ops, startWorker } = opsWithQueue(t, servers)
  startWorker()
  const causeOf = async (eventId: string) => (await sql('SELECT cause FROM changes WHERE event_id = $1 ORDER BY seq DESC LIMIT 1', [eventId]))[0]?.['cause'] // prettier-ignore
  const id = await aDeadLetter('evt_told', eventText('evt_told'))
  t.match(await json(t, ops('dead-letters', 'replay', id, '--wait', '--json')), { applied: [id] })
  t.equal(await causeOf('evt_told'), 'replay', 'a dead letter')
  t.equal(await causeOf('evt_approved'), 'event')
  await sql(`DELETE FROM inquiries WHERE id = 'inq_1'`)
  t.match(await json(t, ops('replay', 'evt_approved', '--wait', '--json')), { applied: 1 })
  t.equal(await causeOf('evt_approved'), 'replay', 'an event of the log')
})

t.test('a dead letter that fails again stays open, and --wait says so', async (t) => {
  const { ops, startWorker } = opsWithQueue(t, servers)
  startWorker()
  // Beyond what PostgreSQL's numeric can hold.
  const id = await aDeadLetter(
    'evt_bad',
    eventText('evt_bad').replace('"type":"inquiry"', '"n":1e200000,"type":"inquiry"'),
  )
  const result = await ops('dead-letters', 'replay', '--code', 'ATTEMPTS_EXHAUSTED', '--wait')
  t.equal(result.code, 1)
  t.match(result.stdout, new RegExp(`${id} +failed again +evt_bad`))
  t.equal(await stateOf(id), 'open')
})

t.test('a quarantined body is read again: usable by now, still unusable, erased, or of another letter', async (t) => {
  const { ops, startWorker } = opsWithQueue(t, servers)
  startWorker()
  // Two days ahead of its receipt, and long past by now.
  const early = await aDeadLetter(
    'evt_early',
    eventText('evt_early', '2026-02-05T11:00:00.000Z'),
    'CREATED_AT_OUT_OF_RANGE',
  )
  const unnamed = await aDeadLetter(null, eventText('evt_found'), 'INVALID_JSON')
  const erased = await aDeadLetter('evt_erased', '{"id":"inq_secret"}', 'EVENT_ID_INVALID')
  await sql(`UPDATE dead_letters SET body = '{}' WHERE id = $1`, [erased])
  const result = await ops('dead-letters', 'replay', '--all', '--wait', '--json')
  t.match(result.stderr, /3 dead letters can't be replayed/)
  const report = await json(t, Promise.resolve(result), 1)
  t.strictSame(report.applied.toSorted(), [early, unnamed].toSorted())
  t.strictSame(report.refused, [
    { id: '1', why: 'still no usable event: INVALID_JSON' },
    { id: '2', why: 'still no usable event: EVENT_NAME_INVALID' },
    { id: erased, why: 'a redaction has erased its body: nothing is left to replay; discard it' },
  ])
  t.equal(await stateOf('1'), 'open')
  t.equal(deadLetterBodies.notJson.includes(MARKER), true)
  t.strictSame(await sql(`SELECT event_id, state FROM dead_letters WHERE id = $1`, [unnamed]), [
    { event_id: 'evt_found', state: 'replayed' },
  ])

  const twin = await aDeadLetter(null, `${eventText('evt_found')} `, 'INVALID_JSON')
  const twice = await ops('dead-letters', 'replay', twin)
  t.match(twice, { code: 1, stdout: new RegExp(`bears the event of another dead letter: replay that one \\(${unnamed}\\)`) }) // prettier-ignore
})

t.test('dead letters are discarded, which is safe to repeat', async (t) => {
  const { ops } = opsWithQueue(t, servers)
  const args = ['--reason', 'asked Persona', '--by', 'zoe']
  t.match(await json(t, ops('dead-letters', 'discard', '1', '3', '--json', ...args)), {
    discarded: 1,
    not_open: ['3'],
    missing: [],
  })
  t.match(await sql('SELECT state, resolved_at FROM dead_letters WHERE id = 1'), [{ state: 'discarded', resolved_at: Date }]) // prettier-ignore
  t.match(await ops('dead-letters', 'discard', '1'), { code: 0, stdout: '0 discarded\n', stderr: 'not open, left as they are: 1\n' }) // prettier-ignore
  t.match(await ops('dead-letters', 'discard', '2', '99'), { code: 1, stderr: /not found: 99/ })
  t.equal(await stateOf('2'), 'discarded')
  t.match(await json(t, ops('dead-letters', 'discard', '--all', '--json')), { discarded: 0 })
  await aDeadLetter('evt_a', eventText('evt_a'))
  t.match(await json(t, ops('dead-letters', 'discard', '--code', 'ATTEMPTS_EXHAUSTED', '--json')), { discarded: 1 })
  t.match(await sql('SELECT command, operator, reason, outcome, counts FROM operations ORDER BY id LIMIT 1'), [
    { command: 'dead-letters discard', operator: 'zoe', reason: 'asked Persona', outcome: 'done', counts: { discarded: 1 } },
  ]) // prettier-ignore
})

t.test('wrong usage ends with 2, before anything is opened', async (t) => {
  const wrong = [
    ['replay'],
    ['replay', 'evt_1', '--inquiry', 'inq_1'],
    ['replay', '--since', 'yesterday'],
    ['replay', 'evt_1', '--rate', '0'],
    ['dead-letters', 'replay'],
    ['dead-letters', 'replay', 'one'],
    ['dead-letters', 'replay', '1', '--all'],
    ['dead-letters', 'discard', '--all', '--code', 'INVALID_JSON'],
  ]
  for (const args of wrong) t.equal((await runHere(args)).code, 2, args.join(' '))
})

t.test('a queue that is away ends the command with 1; the act is recorded as failed', async (t) => {
  const env = { DATABASE_URL: url, REDIS_URL: 'redis://127.0.0.1:1', LOG_LEVEL: 'silent' }
  const { code, stderr } = await runHere(['replay', 'evt_created'], env)
  t.equal(code, 1)
  t.match(stderr, /queue: QUEUE_UNREACHABLE: .* run the command again/)
  t.strictSame(await sql('SELECT outcome FROM operations'), [{ outcome: 'failed' }])
})
