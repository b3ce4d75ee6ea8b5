import { Deadline } from '@persona-ingest/core'
import { rebuild } from '@persona-ingest/database'
import { createProducer, type Delivery } from '@persona-ingest/queue'
import { everyRow, eventually, marksIn, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { anEvent, anObject, bodyOf } from '@persona-ingest/testkit/events'
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

/** A delivery about a verification, which tells its inquiry or does not. */
function aVerification(eventId: string, id: string, inquiryId?: string): Delivery {
  const relationships = inquiryId === undefined ? {} : { inquiry: { data: { type: 'inquiry', id: inquiryId } } }
  const data = anObject('verification/selfie', id, { attributes: { 'name-first': MARK }, relationships })
  const createdAt = '2026-02-03T10:00:01.000Z'
  const body = bodyOf(anEvent({ id: eventId, name: 'verification.passed', createdAt, data }))
  return { kind: 'event', eventId, environment: 'production', receivedAtMs: Date.now(), body, requestId: `req-${eventId}` } // prettier-ignore
}

async function verified() {
  const differences: unknown[] = []
  const onDifference = (difference: unknown) => void differences.push(difference)
  const report = await rebuild({ databaseUrl: url, encryptionKeys: [b, a], isVerifying: true, onDifference })
  return { ...report, differences }
}

t.test('workers whose keys change one after the other store sealed, and a redaction reaches both', async (t) => {
  const older = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: `${a},${b}` })
  await producer.enqueue(aDelivery({ id: 'evt_1', attributes: person }), new Deadline(5000))
  await producer.enqueue(
    {
      kind: 'quarantined',
      reason: 'INVALID_JSON',
      eventId: null,
      environment: 'production',
      receivedAtMs: Date.now(),
      body: Buffer.from(`{"${MARK}`),
    },
    new Deadline(5000),
  )
  await eventually(async () => (await count('events')) === 1 && (await count('dead_letters')) === 1)
  older.signal('SIGTERM')
  await older.exit
  const newer = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: `${b},${a}` })
  await producer.enqueue(
    aDelivery({ id: 'evt_2', createdAt: '2026-02-03T10:00:01.000Z', attributes: person }),
    new Deadline(5000),
  )
  await eventually(async () => (await count('events')) === 2)
  t.strictSame(await marks(), [])
  t.equal(await count(`events WHERE payload #>> '{}' LIKE 'a:%'`), 1)
  t.equal(await count(`events WHERE payload #>> '{}' LIKE 'b:%'`), 1)
  t.equal(await count(`inquiries WHERE attributes #>> '{}' LIKE 'b:%' AND fields #>> '{}' LIKE 'b:%'`), 1)
  await producer.enqueue(
    aDelivery({ id: 'evt_9', name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:09.000Z' }),
    new Deadline(5000),
  )
  await eventually(async () => (await count(`inquiries WHERE redacted_at IS NOT NULL OR attributes = '{}'`)) === 1)
  t.equal(await count(`inquiries WHERE fields = '{}'`), 1)
  t.equal(await count(`events WHERE payload #>> '{}' LIKE 'b:%'`), 3, 'what was reduced is under the newest key')
  newer.signal('SIGTERM')
  t.strictSame(await newer.exit, { code: 0, signal: null })
})

t.test(
  'a worker without the key puts a redaction back, names it, and goes on with all else; with the key it is done',
  async (t) => {
    await producer.enqueue(aDelivery({ id: 'evt_3', inquiryId: 'inq_2', attributes: person }), new Deadline(5000))
    const sealing = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: a })
    await eventually(async () => (await count('events')) === 4)
    sealing.signal('SIGTERM')
    await sealing.exit
    const lacking = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: b, MAX_ATTEMPTS: '2' })
    await producer.enqueue(aDelivery({ id: 'evt_8', inquiryId: 'inq_2', name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:09.000Z' }), new Deadline(5000)) // prettier-ignore
    const put = await lacking.said('event put back, no attempt used up')
    t.match(JSON.parse(put), {
      eventId: 'evt_8',
      keyId: 'a',
      reason: 'key_missing',
      description: 'payload of evt_3 in events is sealed with the key "a", which is not here',
    })
    t.match(
      (await lacking.get('/metrics')).text,
      /persona_worker_deferred_total\{reason="key_missing",key_id="a"\} [1-9]/,
    )
    t.equal((await lacking.get('/readyz')).status, 200)
    // Both kinds of lanes: what is ordinary, and what redacts.
    await producer.enqueue(aDelivery({ id: 'evt_20', inquiryId: 'inq_20', attributes: person }), new Deadline(5000))
    await producer.enqueue(aDelivery({ id: 'evt_21', inquiryId: 'inq_20', name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:09.000Z' }), new Deadline(5000)) // prettier-ignore
    await eventually(async () => (await count(`events WHERE id IN ('evt_20', 'evt_21')`)) === 2)
    await eventually(() => lacking.count('event put back, no attempt used up') >= 3)
    t.equal(lacking.count('database takes no writes, holding deliveries until it does'), 0)
    t.equal(await count(`inquiries WHERE id = 'inq_2' AND attributes <> '{}'`), 1)
    lacking.signal('SIGTERM')
    t.strictSame(await lacking.exit, { code: 0, signal: null })
    t.equal(await count('dead_letters'), 1, 'no attempt is used up')
    const whole = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: `${b},${a}` })
    await eventually(async () => (await count(`inquiries WHERE id = 'inq_2' AND attributes = '{}'`)) === 1, { deadlineMs: 40_000 }) // prettier-ignore
    whole.signal('SIGTERM')
    await whole.exit
  },
)

t.test(
  'late claims that need a document which does not decrypt hold up no other event, in whatever lane',
  async (t) => {
    const ids = [1, 2, 3, 4].map((index) => `inq_d${index}`)
    const sealing = await aWorkerProcess(t, { ...addresses, STORAGE_ENCRYPTION_KEYS: b })
    // Of each inquiry: it is redacted; a verification that is not known to be of it is stored; its payload is damaged.
    for (const id of ids) {
      await producer.enqueue(aDelivery({ id: `evt_r_${id}`, inquiryId: id, name: 'inquiry.redacted', createdAt: '2026-02-03T10:00:09.000Z' }), new Deadline(5000)) // prettier-ignore
      await producer.enqueue(aVerification(`evt_v_${id}`, `ver_${id}`), new Deadline(5000))
    }
    await eventually(async () => (await count(`events WHERE id LIKE 'evt\\__\\_inq\\_d%'`)) === 8)
    const payloads = await sql(`SELECT id, payload::text AS payload FROM events WHERE id LIKE 'evt\\_v\\_inq\\_d%'`)
    await sql(`UPDATE events SET payload = to_jsonb(overlay(payload #>> '{}' PLACING 'AAAAAAAA' FROM 20)) WHERE id LIKE 'evt\\_v\\_inq\\_d%'`) // prettier-ignore
    // The claim that comes late, which makes the redaction reach the verification.
    for (const id of ids) await producer.enqueue(aVerification(`evt_w_${id}`, `ver_${id}`, id), new Deadline(5000))
    const unrelated = Array.from({ length: 20 }, (_, index) => aDelivery({ id: `evt_u_${index}`, inquiryId: `inq_u_${index}` })) // prettier-ignore
    await Promise.all(unrelated.map((delivery) => producer.enqueue(delivery, new Deadline(5000))))
    await eventually(async () => (await count(`events WHERE id LIKE 'evt\\_u\\_%'`)) === 20)
    const named = new Set<string>()
    await eventually(() => {
      for (const line of sealing.lines) {
        const told = JSON.parse(line) as { msg?: string; eventId?: string; keyId?: string; reason?: string }
        if (told.msg !== 'event put back, no attempt used up') continue
        t.match(told, { keyId: 'b', reason: 'not_decryptable' })
        named.add(told.eventId ?? '')
      }
      return named.size === ids.length
    })
    t.strictSame([...named].toSorted(), ids.map((id) => `evt_w_${id}`)) // prettier-ignore
    t.equal(await count(`dead_letters WHERE event_id IS NOT NULL`), 0)
    // The documents come back, from a backup.
    for (const { id, payload } of payloads) await sql('UPDATE events SET payload = $2::text::jsonb WHERE id = $1', [id, payload]) // prettier-ignore
    await eventually(async () => (await count(`events WHERE id LIKE 'evt\\_w\\_inq\\_d%'`)) === 4, {
      deadlineMs: 40_000,
    })
    t.equal(await count(`verifications WHERE id LIKE 'ver\\_inq\\_d%' AND attributes <> '{}'`), 0, 'and are reduced')
    sealing.signal('SIGTERM')
    await sealing.exit
    t.strictSame((await verified()).differences, [])
  },
)
