import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually, freePort, spawnApp } from '@persona-ingest/testkit'
import t from 'tap'
import { startReceiver } from '../fixtures/receiver.ts'
import { runCli } from '../fixtures/run-cli.ts'
import { runHere } from '../fixtures/run-here.ts'

// Most of the time is spent waiting for the first retry.
t.jobs = 4
const FIRST = 'wbhsec_first-secret'
const SECOND = 'wbhsec_second-secret'
const env = { PERSONA_WEBHOOK_SECRETS: FIRST }

t.test('a simulation that arrives exits with 0 and tells what it sent', { buffered: true }, async (t) => {
  const { url, received } = await startReceiver(t, { secrets: [FIRST] })
  const [human, document] = await Promise.all([
    runCli(['simulate', '--url', url, '--inquiries', '2', '--seed', 'a'], env),
    runCli(['simulate', '--url', `${url}/webhooks/persona`, '--inquiries', '3', '--seed', 'b', '--json'], env),
  ])
  t.strictSame([human.code, human.stderr], [0, ''])
  t.match(human.stdout, /events sent +\d+\nacknowledged +\d+\ngiven up +0\n/)
  t.match(human.stdout, /answers +200: \d+\n/)
  t.strictSame([document.code, document.stderr], [0, ''])
  const report = JSON.parse(document.stdout)
  t.match(report, { gave_up: 0, retries: 0, quarantined: 0, gave_up_event_ids: [], latency_ms: { p50: Number } })
  t.equal(report.events, report.event_ids.length)
  t.strictSame(report.answers, { 200: report.deliveries })
  t.ok(report.events > 3)
  const ids = new Set(received.map((each) => each.eventId))
  t.ok(report.event_ids.every((id: string) => ids.has(id)))
  t.ok(received.every((each) => each.isSigned && each.path === '/webhooks/persona'))
  for (const { stdout, stderr } of [human, document]) t.notMatch(stdout + stderr, FIRST)
})

t.test('duplicates, shuffling, casing, scenarios and rotation reach the simulator', { buffered: true }, async (t) => {
  const { url, received } = await startReceiver(t, { secrets: [SECOND] })
  const flow = ['--inquiries', '4', '--scenarios', 'approved, declined', '--duplicates', '1', '--shuffle']
  const secrets = ['--secret', FIRST, '--secret', SECOND, '--rotate']
  const rest = ['--casing', 'mixed', '--concurrency', '4', '--json']
  const { code, stdout } = await runHere(['simulate', '--url', url, ...flow, ...secrets, ...rest])
  const report = JSON.parse(stdout)
  t.equal(code, 0)
  t.equal(report.deliveries, report.events * 2)
  t.ok(
    received.every((each) => each.isSigned),
    'the second secret signs too',
  )
})

t.test(
  'without options it sends to the port that the ingress has by default, as fast as it can',
  { buffered: true },
  async (t) => {
    const asked: object[] = []
    const counts = { deliveries: 0, attempts: 0, retries: 0, quarantined: 0, durationMs: 1 }
    const nothing = { eventIds: [], acknowledgedEventIds: [], gaveUpEventIds: [], answers: {}, latencyMs: null }
    const { code, stderr } = await runHere(['simulate'], env, {
      simulate: async (options) => {
        asked.push(options)
        return { ...counts, ...nothing }
      },
    })
    t.match(asked, [{ url: 'http://127.0.0.1:8080/webhooks/persona', secrets: [FIRST], inquiries: 10, duplicates: 0 }])
    t.strictSame([code, stderr], [1, 'error: no event was sent\n'])
  },
)

t.test(
  'what is not acknowledged exits with 1, after the retries of the provider in compressed time',
  { buffered: true },
  async (t) => {
    const { url, received } = await startReceiver(t, { secrets: [FIRST], answer: () => 503 })
    const args = ['simulate', '--url', url, '--secret', FIRST, '--inquiries', '1', '--scenarios', 'approved']
    const { code, stdout, stderr } = await runHere([...args, '--json', '--compress-time', '10000000'])
    const report = JSON.parse(stdout)
    t.equal(code, 1)
    t.match(stderr, `error: ${report.events} of ${report.events} events were not acknowledged\n`)
    t.strictSame([report.acknowledged, report.gave_up, report.attempts], [0, report.events, report.events * 8])
    t.strictSame([...new Set(received.map((each) => each.attempt))].toSorted(), [
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '7',
      '8',
    ])
  },
)

t.test(
  'a wrong secret is told at once, and ends the simulation after the first retry',
  { buffered: true },
  async (t) => {
    const refusal = { errors: [{ status: '401', code: 'SIGNATURE_MISMATCH', title: 'x', detail: 'marked-value' }] }
    const server = createServer((request, response) => {
      request.resume().on('end', () => response.writeHead(401).end(JSON.stringify(refusal)))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { code, stderr, stdout, tookMs } = await runHere(
      ['simulate', '--url', url, '--inquiries', '3', '--json'],
      env,
    )
    t.equal(code, 1)
    t.ok(tookMs < 20_000, `${tookMs} ms`)
    t.match(stderr, /does not accept: 401 SIGNATURE_MISMATCH \(sign with a secret of PERSONA_WEBHOOK_SECRETS/)
    t.match(stderr, /\nerror: nothing was ever accepted, so the further retries were not waited for; /)
    t.equal(stderr.split('\n').length, 3, 'each kind once')
    t.notMatch(stderr, 'marked-value')
    t.match(JSON.parse(stdout), { acknowledged: 0, answers: { 401: Number } })
  },
)

t.test(
  'a closed port is told at once, and ends the simulation after the first retry',
  { buffered: true },
  async (t) => {
    const url = `http://127.0.0.1:${await freePort()}`
    const { code, stderr, tookMs } = await runHere(['simulate', '--url', url], env)
    t.equal(code, 1)
    t.ok(tookMs < 20_000, `${tookMs} ms`)
    t.match(stderr, /does not accept: ECONNREFUSED \(nothing listens there: look at --url/)
    t.match(stderr, 'nothing was ever accepted')
  },
)

t.test('where something was accepted, what is refused is retried by the schedule', { buffered: true }, async (t) => {
  let answered = 0
  const { url, received } = await startReceiver(t, { secrets: [FIRST], answer: () => (answered++ === 0 ? 200 : 503) })
  const args = ['simulate', '--url', url, '--inquiries', '1', '--concurrency', '1', '--json']
  const app = await spawnApp({ entry: 'apps/ops/src/main.ts', args, env })
  await eventually(() => received.some((each) => each.attempt === '2'), { deadlineMs: 60_000 })
  t.match(app.errorLines.join(), /does not accept: 503/)
  app.signal('SIGINT')
  t.match(await app.exit, { code: 1 })
  t.notMatch(app.errorLines.join(), 'nothing was ever accepted')
})

t.test('a retry that arrives counts as acknowledged', { buffered: true }, async (t) => {
  const { url } = await startReceiver(t, { secrets: [FIRST], answer: ({ attempt }) => (attempt === '1' ? 500 : 200) })
  const { code, stdout } = await runHere(['simulate', '--url', url, '--inquiries', '1', '--compress-time', '1000'], env)
  t.equal(code, 0)
  t.match(stdout, /requests +(\d+), (\d+) of them retries/)
})

t.test('Ctrl-C ends a simulation soon, with the report of what was done', { buffered: true }, async (t) => {
  const { url, received } = await startReceiver(t, { secrets: [FIRST] })
  const args = ['simulate', '--url', url, '--inquiries', '1000', '--rate', '20', '--json']
  const app = await spawnApp({ entry: 'apps/ops/src/main.ts', args, env })
  await eventually(() => received.length > 3, { deadlineMs: 30_000 })
  app.signal('SIGINT')
  t.strictSame(await app.exit, { code: 1, signal: null })
  t.match(app.errorLines.join(), 'interrupted')
  t.ok(JSON.parse(app.lines.join('\n')).events > 3)
})

t.test('an ingress that is away is told by its connection errors', { buffered: true }, async (t) => {
  const url = `http://127.0.0.1:${await freePort()}`
  const args = ['simulate', '--url', url, '--secret', FIRST, '--inquiries', '1', '--compress-time', '10000000']
  const { code, stdout } = await runHere(args)
  t.equal(code, 1)
  t.match(stdout, /answers +ECONNREFUSED: \d+/)
})

t.test('wrong usage exits with 2, a missing secret with 1', { buffered: true }, async (t) => {
  for (const wrong of [
    ['--url', 'ftp://host'],
    ['--url', 'host'],
    ['--inquiries', '0'],
    ['--scenarios', 'approved,unheard-of'],
    ['--scenarios', ''],
    ['--duplicates', '-1'],
    ['--rate', '0'],
    ['--shuffle', 'wildly'],
    ['--casing', 'shouting'],
    ['--rotate', 'thrice'],
    ['--rotate', 'both', '--secret', FIRST],
    ['--compress-time', '0'],
    ['--duration', 'long'],
  ]) {
    const { code, stdout, stderr } = await runHere(['simulate', ...wrong], env)
    t.strictSame([code, stdout], [2, ''], wrong.join(' '))
    t.match(stderr, /^error: .+\n$/)
  }
  const { code, stderr } = await runHere(['simulate'])
  t.equal(code, 1)
  t.match(stderr, 'PERSONA_WEBHOOK_SECRETS')
})
