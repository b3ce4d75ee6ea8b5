import { createProducer } from '@persona-ingest/queue'
import { everyRow, eventually, marksIn, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aWorkerProcess } from '../fixtures/a-worker-process.ts'
import { aDelivery } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
t.teardown(() => producer.close())
const addresses = { REDIS_URL: redis.url, DATABASE_URL: url }
const [a, b] = ['a', 'b'].map((id) => `${id}:${Buffer.alloc(32, id).toString('base64')}`) as [string, string]

const MARK = 'Marked-Person'
const person = { 'name-first': MARK, fields: { first: { type: 'string', value: MARK } } }
const marks = async () => marksIn(await everyRow(sql), [MARK])
const count = async (what: string) => (await sql(`SELECT count(*)::int AS count FROM ${what}`))[0]?.['count']

t.test('workers whose keys change one after the other store sealed, and a redaction reaches both', async (t) => {
  const older = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: `${a},${b}` })
  await producer.enqueue(aDelivery({ id: 'evt_1', attributes: person }))
  await producer.enqueue({
    kind: 'quarantined',
    reason: 'INVALID_JSON',
    eventId: null,
    environment: 'production',
    receivedAtMs: Date.now(),
    body: Buffer.from(`{"${MARK}`),
  })
  await eventually(async () => (await count('events')) === 1 && (await count('dead_letters')) === 1)
  older.signal('SIGTERM')
  await older.exit
  const newer = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: `${b},${a}` })
  await producer.enqueue(aDelivery({ id: 'evt_2', createdAt: '2026-02-03T10:00:01.000Z', attributes: person }))
  await eventually(async () => (await count('events')) === 2)
  t.strictSame(await marks(), [])
  t.equal(await count(`events WHERE payload #>> '{}' LIKE 'a:%'`), 1)
  t.equal(await count(`events WHERE payload #>> '{}' LIKE 'b:%'`), 1)
  t.equal(await count(`inquiries WHERE attributes #>> '{}' LIKE 'b:%' AND fields #>> '{}' LIKE 'b:%'`), 1)
  await producer.enqueue(aDelivery({ id: 'evt_9', name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:09.000Z' }))
  await eventually(async () => (await count(`inquiries WHERE redacted_at IS NOT NULL OR attributes = '{}'`)) === 1)
  t.equal(await count(`inquiries WHERE fields = '{}'`), 1)
  t.equal(await count(`events WHERE payload #>> '{}' LIKE 'b:%'`), 3, 'what was reduced is under the newest key')
  newer.signal('SIGTERM')
  t.strictSame(await newer.exit, { code: 0, signal: null })
})

t.test(
  'a worker without the key holds a redaction, says why, and loses nothing; with the key it goes on',
  async (t) => {
    await producer.enqueue(aDelivery({ id: 'evt_3', inquiryId: 'inq_2', attributes: person }))
    const sealing = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: a })
    await eventually(async () => (await count('events')) === 4)
    sealing.signal('SIGTERM')
    await sealing.exit
    const lacking = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: b })
    await producer.enqueue(aDelivery({ id: 'evt_8', inquiryId: 'inq_2', name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:09.000Z' })) // prettier-ignore
    await lacking.said('database takes no writes, holding deliveries until it does')
    t.match(lacking.lines.join('\n'), /payload of evt_3 in events is sealed with the key \\"a\\", which is not here/)
    t.equal(await count(`inquiries WHERE id = 'inq_2' AND attributes <> '{}'`), 1)
    lacking.signal('SIGTERM')
    t.strictSame(await lacking.exit, { code: 0, signal: null })
    t.equal(await count('dead_letters'), 1, 'no attempt is used up')
    await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: `${b},${a}` })
    await eventually(async () => (await count(`inquiries WHERE id = 'inq_2' AND attributes = '{}'`)) === 1)
  },
)
