import { sendDelivery } from '@persona-ingest/simulator'
import { eventually, freePort, spawnApp, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { aCollector, type CollectedSpan } from '../fixtures/a-collector.ts'
import { aWorkerProcess } from '../fixtures/a-worker-process.ts'
import { eventBody } from '../fixtures/an-event.ts'

t.jobs = 3
const SECRET = 'wbhsec_test-of-tracing'
const MARK = 'Marked-Person-Zoe'

async function aTracedSystem(t: Test, otel: Readonly<Record<string, string>>) {
  const [redis, { url: databaseUrl, sql }] = await Promise.all([throwAwayRedis(t), throwAwayDatabase(t)])
  const [port, metricsPort] = await Promise.all([freePort(), freePort()])
  const shared = { HOST: '127.0.0.1', REDIS_URL: redis.url, OTEL_BSP_SCHEDULE_DELAY: '200', ...otel }
  const secrets = { PERSONA_WEBHOOK_SECRETS: SECRET }
  const ingress = await spawnApp({
    entry: 'apps/ingress/src/main.ts',
    env: { ...shared, ...secrets, PORT: String(port), METRICS_PORT: String(metricsPort) },
  })
  t.teardown(() => ingress.kill())
  await ingress.waitForLine((line) => line.includes('ingress ready'), { deadlineMs: 30_000 })
  const worker = await aWorkerProcess(t, { ...shared, DATABASE_URL: databaseUrl })
  const send = async (id: string, path = '') => {
    const nowMs = Date.now()
    const body = eventBody({ id, inquiryId: `inq_${id}`, attributes: { 'name-first': MARK } })
    const url = `http://127.0.0.1:${port}/webhooks/persona${path}`
    return sendDelivery({ url, body, secrets: [SECRET], nowMs, attempt: 1, firstAttemptedAtMs: nowMs })
  }
  const stored = (count: number) => eventually(async () => (await sql('SELECT id FROM events')).length === count)
  return { ingress, worker, send, stored }
}

/** From a span up to the root of its trace. */
function pathOf(span: CollectedSpan | undefined, spans: readonly CollectedSpan[]): readonly string[] {
  if (span === undefined) return []
  const parent = spans.find(({ traceId, spanId }) => traceId === span.traceId && spanId === span.parentSpanId)
  return [...pathOf(parent, spans), `${span.service}: ${span.name}`]
}

t.test(
  'one trace from the delivery through the job to the commit, for each of many at once',
  { buffered: true },
  async (t) => {
    const collector = await aCollector(t)
    const { ingress, worker, send, stored } = await aTracedSystem(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    const ids = Array.from({ length: 40 }, (_, index) => `evt_${index}`)
    await send('evt_alone', `?person=${MARK}`)
    await Promise.all(ids.map((id) => send(id)))
    await stored(41)
    const commits = () => collector.spans().filter(({ name }) => name === 'commit batch')
    // Both processes send what they have from time to time.
    await eventually(() => {
      const doors = commits().map((commit) => pathOf(commit, collector.spans())[0])
      return (
        doors.length >= 41 && doors.every((door) => door !== undefined && door.startsWith('persona-ingest-ingress'))
      )
    })

    const spans = collector.spans()
    t.equal(new Set(commits().map(({ traceId }) => traceId)).size, 41, 'each in a trace of its own')
    for (const commit of commits()) {
      const [door, ...rest] = pathOf(commit, spans)
      t.match(door, /^persona-ingest-ingress: /, 'begins at the door')
      t.strictSame(rest.slice(-2), ['persona-ingest-worker: settle delivery', 'persona-ingest-worker: commit batch'])
    }
    t.ok(
      commits().some(({ attributes }) => Number(attributes['batchSize']) > 1),
      'some shared a batch',
    )
    const jobs = spans.filter(({ name }) => name.includes('persona-events'))
    t.ok(
      jobs.some(({ service }) => service === 'persona-ingest-ingress'),
      'BullMQ tells of jobs added',
    )
    t.ok(
      jobs.some(({ service }) => service === 'persona-ingest-worker'),
      'and of jobs processed',
    )

    for (const app of [ingress, worker]) {
      app.signal('SIGTERM')
      t.match(await app.exit, { code: 0 })
    }
    t.notMatch(collector.text(), /marked|person-zoe/i)
    t.notMatch(collector.text(), SECRET)
  },
)

t.test('a collector that is away costs a line in the log and nothing else', { buffered: true }, async (t) => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const { ingress, send, stored } = await aTracedSystem(t, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
  t.match(await send('evt_1'), { isAcknowledged: true })
  await stored(1)
  ingress.signal('SIGTERM')
  t.match(await ingress.exit, { code: 0 })
})

t.test(
  'without those variables, or with a no, nothing is traced and no job carries a trace',
  { buffered: true },
  async (t) => {
    const collector = await aCollector(t)
    const otel = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SDK_DISABLED: 'true' }
    const { ingress, worker, send, stored } = await aTracedSystem(t, otel)
    await send('evt_1')
    await stored(1)
    for (const app of [ingress, worker]) {
      app.signal('SIGTERM')
      await app.exit
    }
    t.equal(collector.text(), '')
  },
)
