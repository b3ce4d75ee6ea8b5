import { Deadline } from '@persona-ingest/core'
import { readFile } from 'node:fs/promises'
import { createProducer } from '@persona-ingest/queue'
import { eventually, freePort, spawnApp, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aWorkerProcess } from '../fixtures/a-worker-process.ts'
import { aDelivery, deliveries, POISON } from '../fixtures/an-event.ts'
import { readMetrics, type Sample } from '../fixtures/metrics-text.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const addresses = { REDIS_URL: redis.url, DATABASE_URL: url }
const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
t.teardown(() => producer.close())

t.test('an environment at fault is told as a whole on stderr, without values; exit code 1', async (t) => {
  const app = await spawnApp({
    entry: 'apps/worker/src/main.ts',
    env: { REDIS_URL: 'http://secret', WORKER_CONCURRENCY: 'many', LOG_LEVEL: 'loud', METRICS_PORT: '99999' },
  })
  t.strictSame(await app.exit, { code: 1, signal: null })
  const told = app.errorLines.join('\n')
  for (const name of ['REDIS_URL', 'DATABASE_URL', 'WORKER_CONCURRENCY', 'LOG_LEVEL', 'METRICS_PORT'])
    t.match(told, `${name}:`)
  t.notMatch(told, /secret|many|loud|99999/)
  t.strictSame(app.lines, [])
})

t.test('a variable may be given as a file', async (t) => {
  const folder = t.testdir({ database: `${url}\n`, redis: redis.url })
  const app = await aWorkerProcess(t, { DATABASE_URL_FILE: `${folder}/database`, REDIS_URL_FILE: `${folder}/redis` })
  await eventually(async () => (await app.get('/readyz')).status === 200)
})

t.test('livez, readyz and metrics on the operations port', async (t) => {
  const app = await aWorkerProcess(t, addresses)
  t.equal((await app.get('/livez')).status, 200)
  await eventually(async () => (await app.get('/readyz')).status === 200)
  t.equal((await app.get('/webhooks/persona')).status, 404)
  await Promise.all(deliveries(30).map((delivery) => producer.enqueue(delivery, new Deadline(5000))))
  await producer.enqueue(aDelivery({ id: 'evt_poison', raw: POISON }), new Deadline(5000))
  await producer.enqueue(aDelivery({ id: 'evt_flow', name: 'workflow-run.errored', createdAt: '2026-02-02T00:00:00Z', inquiryId: 'inq_evt_0' }), new Deadline(5000)) // prettier-ignore
  await eventually(async () => (await sql('SELECT 1 FROM events')).length === 31)
  await eventually(async () => (await sql('SELECT 1 FROM dead_letters')).length === 1)

  const { samples, types } = readMetrics((await app.get('/metrics')).text)
  const value = (name: string, labels: Sample['labels'] = {}) =>
    samples.find((sample) => sample.name === name && Object.entries(labels).every(([key, text]) => sample.labels[key] === text))?.value // prettier-ignore
  const source = await readFile(new URL('../../src/metrics.ts', import.meta.url), 'utf8')
  const names = [...source.matchAll(/name: ['`](persona_worker_[\w${}]+)['`]/g)].map(([, name]) => String(name))
  const expected = names.flatMap((name) =>
    name.includes('${') ? ['redis', 'database'].map((dependency) => name.replace(/\$\{\w+\}/, dependency)) : [name],
  )
  t.ok(expected.length > 10, 'the names are found in the source')
  for (const name of expected) {
    if (name === 'persona_worker_drifted_events' && !types.has(name)) continue
    t.ok(types.has(name), name)
    t.ok(samples.some((sample) => sample.name.startsWith(name)), `${name} has a sample`) // prettier-ignore
  }
  t.equal(value('persona_worker_events_total', { outcome: 'applied', environment: 'production' }), 30)
  t.equal(value('persona_worker_events_total', { outcome: 'stale' }), 1)
  t.equal(value('persona_worker_events_total', { outcome: 'dead' }), 1)
  t.equal(value('persona_worker_workflow_errors_total', { environment: 'production' }), 1)
  t.equal(value('persona_worker_dead_letters_open', { reason: 'VALUE_REFUSED' }), 1)
  t.equal(value('persona_worker_receipt_to_stored_seconds_count'), 31)
  t.ok((value('persona_worker_batch_events_count') ?? 0) >= 1)
  t.equal(value('persona_worker_redis_up'), 1)
  t.equal(value('persona_worker_database_up'), 1)
  for (const state of ['waiting', 'active', 'delayed', 'failed'])
    t.equal(value('persona_worker_queue_jobs', { state }), 0, state)
  t.ok((value('process_resident_memory_bytes') ?? 0) > 0, 'the defaults of the process')
})

t.test('an operations port that is taken ends the process with exit code 1', async (t) => {
  const port = await freePort()
  const first = await aWorkerProcess(t, { ...addresses, METRICS_PORT: String(port) })
  const second = await spawnApp({
    entry: 'apps/worker/src/main.ts',
    env: { ...addresses, HOST: '127.0.0.1', METRICS_PORT: String(port) },
  })
  t.teardown(() => second.kill())
  t.strictSame(await second.exit, { code: 1, signal: null })
  t.match([...second.lines, ...second.errorLines].join(), /EADDRINUSE/)
  t.equal((await first.get('/livez')).status, 200)
})
