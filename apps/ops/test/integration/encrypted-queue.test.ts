import { randomBytes } from 'node:crypto'
import { openDatabase, storeDeadLetter } from '@persona-ingest/database'
import { everyKey, eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { opsWithQueue } from '../fixtures/running-worker.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const servers = { redisUrl: redis.url, databaseUrl: url }
const keys = { QUEUE_ENCRYPTION_KEYS: `a:${randomBytes(32).toString('base64')}` }
const MARK = 'Marked-Person-Zoe'

const bodyOf = (id: string) =>
  JSON.stringify({
    data: {
      type: 'event',
      id,
      attributes: {
        name: 'inquiry.approved',
        payload: { data: { type: 'inquiry', id: `inq_${id}`, attributes: { 'name-first': MARK } } },
        'created-at': '2026-02-03T10:00:09.000Z',
      },
    },
  })

async function bury(eventId: string) {
  const database = openDatabase({ url, encryptionKeys: [] })
  const letter = { eventId, environment: 'production' as const, reason: 'ATTEMPTS_EXHAUSTED', error: 'a test' }
  await storeDeadLetter(database, {
    ...letter,
    body: Buffer.from(bodyOf(eventId)),
    receivedAtMs: 1,
    attempts: 10,
  })
  await database.close()
}

const storedIds = async () => (await sql('SELECT id FROM events ORDER BY id')).map(({ id }) => id)

t.test('a replayed dead letter has no readable body in Redis where QUEUE_ENCRYPTION_KEYS is set', async (t) => {
  const { opsWith, startWorker, producer } = opsWithQueue(t, servers)
  await bury('evt_1')
  const { code, stderr } = await opsWith(keys, 'dead-letters', 'replay', '--all')
  t.strictSame([code, stderr], [0, ''])
  t.equal((await producer.counts()).waiting, 1)
  t.notMatch(await everyKey(redis), MARK)
  startWorker(keys)
  await eventually(async () => (await storedIds()).length === 1)
  t.match((await opsWith(keys, 'status')).stdout, /^(?![^]*UNENCRYPTED)[^]*queue/)
})

t.test('a dead letter that was replayed without the keys is stored, counted, and told by status', async (t) => {
  const { opsWith, startWorker } = opsWithQueue(t, servers)
  await bury('evt_2')
  await opsWith({}, 'dead-letters', 'replay', '--all')
  const registry = startWorker(keys)
  await eventually(async () => (await storedIds()).includes('evt_2'))
  t.match(await registry.metrics(), /^persona_worker_unencrypted_deliveries_total 1$/m)
  await eventually(async () => (await opsWith(keys, 'status')).stdout.includes('UNENCRYPTED'))
  t.match((await opsWith(keys, 'status')).stdout, /^encryption +1 deliveries came UNENCRYPTED, the last at 20\d\d-/m)
  const { queue } = JSON.parse((await opsWith(keys, 'status', '--json')).stdout)
  t.match(queue, { unencrypted: { deliveries: 1, last_at: /^20\d\d-/ } })
})
