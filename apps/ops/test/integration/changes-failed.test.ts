import { throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { runHere } from '../fixtures/run-here.ts'

const { url, sql } = await throwAwayDatabase(t)
const ops = async (...args: string[]) => await runHere(args, { DATABASE_URL: url, LOG_LEVEL: 'silent' })

const fail = async (consumer: string, objectId: string, state = 'failed') =>
  await sql(
    `INSERT INTO notifications (consumer, object_id, version, family, inquiry_id, cause, event_id, status, changed_at, state, attempts, first_attempt_at, last_error, last_status)
     VALUES ($1, $2, 3, 'inquiry', $2, 'event', 'evt_1', 'approved', '2026-11-01T10:00:00Z', $3, 80, '2026-11-01T10:00:01Z', 'ENDPOINT_REJECTED', 404)
     ON CONFLICT (consumer, object_id) DO UPDATE SET state = excluded.state`,
    [consumer, objectId, state],
  )

t.test('what was given up is listed, for all consumers or for one', async (t) => {
  t.match(await ops('changes', 'failed'), { code: 0, stdout: '', stderr: 'no failed notifications\n' })
  await fail('notifier', 'inq_1')
  await fail('other', 'inq_2')
  await fail('notifier', 'inq_3', 'pending')
  const { code, stdout } = await ops('changes', 'failed')
  t.equal(code, 0)
  t.match(
    stdout,
    /^object_id +consumer +version .*\n(inq_1 +notifier +3 +approved .* ENDPOINT_REJECTED +404\n)(inq_2 .*\n)$/,
  )
  t.notMatch(stdout, 'inq_3')
  t.match((await ops('changes', 'failed', '--limit', '1')).stderr, 'there are more')
  const one = await ops('changes', 'failed', '--consumer', 'other', '--json')
  t.strictSame(JSON.parse(one.stdout), {
    failed: [
      {
        consumer: 'other',
        object_id: 'inq_2',
        family: 'inquiry',
        inquiry_id: 'inq_2',
        version: 3,
        status: 'approved',
        cause: 'event',
        event_id: 'evt_1',
        changed_at: '2026-11-01T10:00:00.000Z',
        attempts: 80,
        first_attempt_at: '2026-11-01T10:00:01.000Z',
        last_error: 'ENDPOINT_REJECTED',
        last_status: 404,
      },
    ],
    has_more: false,
  })
})

t.test('named objects are sent again; what is not listed is told, with exit code 1', async (t) => {
  const { code, stdout, stderr } = await ops('changes', 'resend', 'inq_1', 'inq_3', 'inq_9', '--by', 'zoe', '--reason', 'repaired') // prettier-ignore
  t.equal(code, 1)
  t.equal(stdout, '1 to be sent again\n')
  t.match(stderr, 'not listed as failed: inq_3, inq_9')
  t.match(await sql(`SELECT state, attempts, first_attempt_at FROM notifications WHERE object_id = 'inq_1'`), [
    { state: 'pending', attempts: 0, first_attempt_at: null },
  ])
  t.match(await sql('SELECT command, arguments, operator, reason, outcome, counts FROM operations'), [
    {
      command: 'changes resend',
      arguments: { consumer: null, objects: ['inq_1', 'inq_3', 'inq_9'] },
      operator: 'zoe',
      reason: 'repaired',
      outcome: 'done',
      counts: { resent: 1 },
    },
  ])
})

t.test('all of a consumer are sent again', async (t) => {
  await fail('notifier', 'inq_1')
  t.match(await ops('changes', 'resend', '--all', '--consumer', 'notifier', '--json'), {
    code: 0,
    stdout: '{"resent":["inq_1"],"not_listed":[]}\n',
  })
  t.match(await ops('changes', 'resend', 'inq_2', '--consumer', 'notifier'), { code: 1 }, 'it is of another')
  t.equal((await ops('changes', 'resend', '--all')).code, 0)
  t.equal((await ops('changes', 'resend', '--all')).code, 0, 'once more')
  t.match(await ops('changes', 'failed'), { stdout: '' })
})

t.test('without objects, or with objects and --all, it is used wrongly', async (t) => {
  for (const args of [[], ['inq_1', '--all']]) t.equal((await ops('changes', 'resend', ...args)).code, 2)
})
