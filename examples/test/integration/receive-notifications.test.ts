import { makeChangeTick, openDatabase } from '@persona-ingest/database'
import { buildLifecycle } from '@persona-ingest/simulator'
import { eventually, freePort, spawnApp, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { runExample, startExample } from '../fixtures/run-example.ts'
import { storeSimulated } from '../fixtures/store-simulated.ts'

const SECRET = 'whsec_ZXhhbXBsZXMtb2YtdGhpcy1wcm9qZWN0LTEyMzQ='

t.test('each newer version that the notifier sends is kept, and what is not signed is refused', async (t) => {
  const [redis, ingest, port, metricsPort] = await Promise.all([throwAwayRedis(t), throwAwayDatabase(t), freePort(), freePort()]) // prettier-ignore
  await ingest.sql('CREATE DATABASE application')
  const example = await startExample('receive-notifications', {
    env: { DATABASE_URL: ingest.server.url('application'), NOTIFIER_SECRET: SECRET, PORT: String(port) },
  })
  t.teardown(() => example.kill())
  await eventually(() => example.errorLines.includes('receiving'))
  const url = `http://127.0.0.1:${port}/`
  const notifier = await spawnApp({
    entry: 'apps/notifier/src/main.ts',
    env: {
      DATABASE_URL: ingest.url,
      REDIS_URL: redis.url,
      NOTIFIER_URL: url,
      NOTIFIER_SECRET: SECRET,
      NOTIFIER_FROM: 'start',
      METRICS_PORT: String(metricsPort),
    },
  })
  t.teardown(() => notifier.kill())
  const events = buildLifecycle({ scenario: 'approved', seed: 'notified', startAtMs: Date.UTC(2026, 1, 3) })
  const database = openDatabase({ url: ingest.url, encryptionKeys: [] })
  t.teardown(() => database.close())
  for (const event of events) {
    await storeSimulated(ingest.url, [event])
    await eventually(async () => (await makeChangeTick(database)) !== 'early')
  }
  await example.waitForLine((line) => line.includes('"status":"approved"'))
  const known = async () => await ingest.server.sql('SELECT id, status FROM known_inquiries', [], 'application')
  t.strictSame(await known(), [{ id: events[0]?.inquiryId, status: 'approved' }])
  const versions = example.lines.map((line) => (JSON.parse(line) as { version: number }).version)
  t.strictSame(
    versions,
    versions.toSorted((one, other) => one - other),
  )
  t.equal((await fetch(url, { method: 'POST', body: '{}' })).status, 401)
})

t.test('without its variables it names them', async (t) => {
  const { code, stderr } = await runExample('receive-notifications', { env: {} })
  t.equal(code, 2)
  t.match(stderr, 'NOTIFIER_SECRET')
})
