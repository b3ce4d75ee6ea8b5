import { freePort, throwAwayDatabase } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { runCli, type CliResult } from '../fixtures/run-cli.ts'
import { runHere } from '../fixtures/run-here.ts'
import { deadLetterBodies, MARKER, oddBody, START_MS, storeExamples } from '../fixtures/stored-events.ts'

const { url, server, sql } = await throwAwayDatabase(t)
await storeExamples(url, sql)

type Result = Omit<CliResult, 'bytes'>

/** The command line as its users have it. */
async function ops(...args: string[]): Promise<CliResult> {
  return await runCli(args, { DATABASE_URL: url })
}

async function here(...args: string[]): Promise<Result> {
  return await runHere(args, { DATABASE_URL: url })
}

function json(t: Test, { code, stdout, stderr }: Result): any {
  t.equal(code, 0)
  t.equal(stderr, '')
  t.equal(stdout.split('\n').length, 2, 'one document on one line')
  return JSON.parse(stdout)
}

/** Runs a command in its four forms; returns the human output and the document, both masked. */
async function inAllForms(t: Test, ...args: string[]): Promise<{ human: string; document: any }> {
  const [human, document, revealed, revealedDocument] = await Promise.all([
    ops(...args),
    here(...args, '--json'),
    here(...args, '--reveal'),
    here(...args, '--reveal', '--json'),
  ])
  t.equal(human.code, 0)
  t.equal(revealed.code, 0)
  for (const { stdout, stderr } of [human, document]) t.notMatch(stdout + stderr, MARKER, 'masked')
  // Without this, a command that shows nothing would pass as one that masks.
  for (const { stdout } of [revealed, revealedDocument]) t.match(stdout, MARKER, 'revealed')
  t.notOk(human.stdout.includes('\u001b'), 'no colours where there is no terminal')
  return { human: human.stdout, document: json(t, document) }
}

t.test('inquiries list', async (t) => {
  const { human, document } = await inAllForms(t, 'inquiries', 'list')
  t.match(human, /^id +status +environment +reference_id/)
  t.match(human, /inq_2 .*\n?inq_1 +approved +production +••• .*1 passed\n/)
  t.strictSame(document.next, null)
  t.strictSame(document.inquiries[1], {
    id: 'inq_1',
    status: 'approved',
    environment: 'production',
    reference_id: '•••',
    created_at: '2026-02-03T10:00:00.000Z',
    decisioned_at: null,
    event_name: 'inquiry.approved',
    event_created_at: '2026-02-03T10:00:00.002Z',
    verifications: { count: 1, statuses: { passed: 1 } },
  })
})

t.test('inquiries list narrows and pages', async (t) => {
  const [byStatus, byReference, byAccount, none, first] = await Promise.all([
    here('inquiries', 'list', '--json', '--status', 'approved', '--environment', 'production'),
    here('inquiries', 'list', '--json', '--reference-id', `${MARKER}-ref`),
    here('inquiries', 'list', '--json', '--account', 'act_1'),
    here('inquiries', 'list', '--environment', 'sandbox'),
    here('inquiries', 'list', '--limit', '1'),
  ])
  for (const result of [byStatus, byReference, byAccount]) {
    t.strictSame(
      json(t, result).inquiries.map((each: any) => each.id),
      ['inq_1'],
    )
  }
  t.strictSame([none.code, none.stdout, none.stderr], [0, '', 'no inquiries\n'])
  const cursor = /^more: --before (\S+)\n$/.exec(first.stderr)?.[1] ?? ''
  const second = json(t, await here('inquiries', 'list', '--json', '--limit', '1', '--before', cursor))
  t.match(first.stdout, 'inq_2')
  t.strictSame([second.inquiries[0].id, second.next], ['inq_1', null])
})

t.test('inquiries show', async (t) => {
  const { human, document } = await inAllForms(t, 'inquiries', 'show', 'inq_1')
  for (const text of ['approved', 'ver_1', 'iqse_1', 'act_1', '•••', 'name_first', 'verifications (1)']) {
    t.match(human, text)
  }
  const { inquiry, verifications, resources } = document
  t.match(inquiry, {
    id: 'inq_1',
    status: 'approved',
    account_id: 'act_1',
    reference_id: '•••',
    tags: ['•••'],
    created_at: '2026-02-03T10:00:00.000Z',
    event_id: 'evt_approved',
    event_rank: 6,
    fields: { name_first: { type: '•••', value: '•••' }, adult: { type: '•••', value: '••• boolean' } },
    attributes: { name_first: '•••', behaviors: { score: '••• number' } },
    relationships: { account: { type: 'account', id: 'act_1' } },
  })
  t.match(verifications, [
    { id: 'ver_1', type: 'verification/selfie', status: 'passed', country_code: '•••', checks: [{ status: '•••' }] },
  ])
  t.match(resources, [{ id: 'iqse_1', type: 'inquiry-session', status: 'active', inquiry_id: 'inq_1' }])
})

t.test('timeline', async (t) => {
  const [human, document] = await Promise.all([ops('timeline', 'inq_1'), ops('timeline', 'inq_1', '--json')])
  t.equal(human.code, 0)
  t.match(human.stdout, /inquiry\.created +created .*out of order +evt_created\n/)
  t.match(human.stdout, /inquiry\.started +created → pending +2026-02-03T10:00:00\.050Z +evt_started\n/)
  const { inquiry_id, events } = json(t, document)
  t.equal(inquiry_id, 'inq_1')
  t.strictSame(
    events.map((row: any) => [row.event_id, row.status, row.status_changed, row.out_of_order]),
    [
      ['evt_created', 'created', true, true],
      ['evt_started', 'pending', true, false],
      ['evt_approved', 'approved', true, false],
    ],
  )
})

t.test('events show', async (t) => {
  const { human, document } = await inAllForms(t, 'events', 'show', 'evt_approved')
  for (const text of ['inquiry.approved', 'applied', 'data.attributes.payload.data.attributes.status', '"passed"']) {
    t.match(human, text)
  }
  t.match(document, {
    id: 'evt_approved',
    environment: 'production',
    name: 'inquiry.approved',
    created_at: '2026-02-03T10:00:00.002Z',
    resource_type: 'inquiry',
    resource_id: 'inq_1',
    inquiry_id: 'inq_1',
    received_at: '2026-02-03T10:00:00.100Z',
    outcome: 'applied',
    payload: {
      data: {
        id: 'evt_approved',
        attributes: {
          name: 'inquiry.approved',
          context: { note: '•••' },
          payload: { data: { id: 'inq_1', attributes: { status: 'approved', 'name-first': '•••' } } },
        },
      },
    },
  })
})

t.test('events show --raw writes the bytes as delivered, else says that it cannot', async (t) => {
  const [odd, plain] = await Promise.all([
    ops('events', 'show', 'evt_odd', '--raw'),
    here('events', 'show', 'evt_started', '--raw'),
  ])
  t.strictSame([odd.code, odd.bytes, odd.stderr], [0, Buffer.from(oddBody), ''])
  t.equal(plain.code, 0)
  t.match(plain.stderr, /jsonb's text/)
  t.match(JSON.parse(plain.stdout), { data: { id: 'evt_started', attributes: { context: { note: MARKER } } } })
})

t.test('dead-letters list', async (t) => {
  const list = async (...args: string[]) => await here('dead-letters', 'list', ...args)
  const [human, open, all, byReason, discarded, none, page] = await Promise.all([
    ops('dead-letters', 'list'),
    ops('dead-letters', 'list', '--json'),
    list('--json', '--state', 'all'),
    list('--json', '--reason', 'INVALID_JSON'),
    list('--json', '--state', 'discarded'),
    list('--state', 'replayed'),
    list('--json', '--limit', '1'),
  ])
  t.match(human.stdout, /2 +open +EVENT_NAME_INVALID +evt_nameless +production +0 /)
  const ids = (result: Result) => json(t, result).dead_letters.map((each: any) => each.id)
  t.strictSame([open, all, byReason, discarded].map(ids), [['2', '1'], ['3', '2', '1'], ['1'], ['3']])
  t.strictSame([none.code, none.stdout, none.stderr], [0, '', 'no dead letters\n'])
  const { dead_letters: rows, next } = json(t, page)
  t.match(rows, [
    {
      id: '2',
      event_id: 'evt_nameless',
      environment: 'production',
      reason: 'EVENT_NAME_INVALID',
      error: 'the body is no usable event',
      attempts: 0,
      received_at: new Date(START_MS).toISOString(),
      state: 'open',
      resolved_at: null,
      body_bytes: deadLetterBodies.noName.length,
    },
  ])
  t.strictSame(ids(await list('--json', '--before', next)), ['1'])
})

t.test('dead-letters show', async (t) => {
  const { human, document } = await inAllForms(t, 'dead-letters', 'show', '2')
  for (const text of ['EVENT_NAME_INVALID', 'what is wrong', 'what to do', 'data.attributes.name', 'evt_nameless']) {
    t.match(human, text)
  }
  t.match(document, { id: '2', body: { data: { id: 'evt_nameless', attributes: { 'name-first': '•••' } } } })
  t.match(document, { meaning: String, advice: String, body_sha256: null }, 'a digest tells what is masked')
})

t.test('dead-letters show of a body that is no JSON tells its length and hash only, and --raw its bytes', async (t) => {
  const [human, document, raw] = await Promise.all([
    here('dead-letters', 'show', '1', '--reveal'),
    here('dead-letters', 'show', '1', '--json', '--reveal'),
    here('dead-letters', 'show', '1', '--raw'),
  ])
  t.notMatch(human.stdout, MARKER)
  t.match(human.stdout, `body_bytes   ${deadLetterBodies.notJson.length}`)
  t.match(json(t, document), { body: null, body_bytes: deadLetterBodies.notJson.length, reason: 'INVALID_JSON' })
  t.strictSame([raw.code, raw.stdout, raw.stderr], [0, deadLetterBodies.notJson, ''])
})

t.test('what is not there exits with 1, on one line of stderr', async (t) => {
  for (const args of [
    ['inquiries', 'show', 'inq_none'],
    ['timeline', 'inq_none'],
    ['events', 'show', 'evt_none'],
    ['events', 'show', 'evt_none', '--raw'],
    ['dead-letters', 'show', '404'],
  ]) {
    const { code, stdout, stderr } = await here(...args)
    t.strictSame([code, stdout], [1, ''], args.join(' '))
    t.match(stderr, /^error: .*(not found|no events found).*(none|404)\n$/)
  }
  t.equal((await ops('timeline', 'inq_none')).code, 1)
})

t.test('wrong usage exits with 2', async (t) => {
  const { code, stdout, stderr } = await ops('inquiries', 'list', '--limit', 'many')
  t.strictSame([code, stdout], [2, ''])
  t.match(stderr, /^error: .+\n$/)
})

t.test('a missing variable exits with 1 and is named', async (t) => {
  const { code, stdout, stderr } = await runCli(['inquiries', 'list'])
  t.strictSame([code, stdout], [1, ''])
  t.match(stderr, 'DATABASE_URL: missing')
})

t.test('a variable may be given as a file', async (t) => {
  const file = `${t.testdir({ url: `${url}\n` })}/url`
  const { code } = await runHere(['inquiries', 'show', 'inq_1'], { DATABASE_URL_FILE: file })
  t.equal(code, 0)
})

t.test(
  'a database that is away, wrong or silent exits with 1 in seconds, and its URL stays out of sight',
  async (t) => {
    const closed = `postgresql://zoe:secret@127.0.0.1:${await freePort()}/db`
    const wrongName = new URL(url)
    wrongName.pathname = '/secret_database'
    const wrongPassword = new URL(url)
    wrongPassword.password = 'secret'
    const unmigrated = new URL(url)
    unmigrated.pathname = '/postgres'
    const cases = [
      [closed, 'check DATABASE_URL'],
      [wrongName.href, 'database'],
      [wrongPassword.href, 'database'],
      [unmigrated.href, 'db:migrate'],
    ] as const
    const results = await Promise.all(
      cases.map(async ([databaseUrl]) => await runHere(['inquiries', 'list'], { DATABASE_URL: databaseUrl })),
    )
    for (const [index, { code, stdout, stderr, tookMs }] of results.entries()) {
      t.strictSame([code, stdout], [1, ''])
      t.match(stderr, /^error: database: .+\n$/)
      t.match(stderr, cases[index]?.[1] ?? '')
      t.notMatch(stderr, /secret|zoe|127\.0\.0\.1/)
      t.ok(tookMs < 15_000, `took ${Math.round(tookMs)} ms`)
    }
    const process = await runCli(['inquiries', 'list'], { DATABASE_URL: closed })
    t.strictSame([process.code, process.stdout], [1, ''])
    server.freeze()
    const frozen = await ops('timeline', 'inq_1')
    server.thaw()
    t.equal(frozen.code, 1)
    t.match(frozen.stderr, 'does not answer')
    t.ok(frozen.tookMs < 30_000, `took ${Math.round(frozen.tookMs)} ms`)
  },
)
