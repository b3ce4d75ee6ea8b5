import { randomBytes } from 'node:crypto'
import { everyKey, eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { createConsumer, createProducer, type HeldDelivery, type Settlement } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'

const aKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const [older, newer] = [aKey('older'), aKey('newer')]
const MARK = 'Marked-Person-Zoe'
const body = Buffer.from(`{"name":"${MARK}"}`)

/** A Redis of its own, so that all that is in it can be searched. */
async function aRedis(t: Test) {
  const redis = await throwAwayRedis(t)
  const produce = async (encryptionKeys: readonly string[], eventIds: readonly string[]) => {
    const producer = createProducer({ redisUrl: redis.url, encryptionKeys })
    await producer.probe()
    await Promise.all(eventIds.map((id) => producer.enqueue(aDelivery(id, { body }))))
    await producer.close()
  }
  const consume = (
    encryptionKeys: readonly string[],
    handle: (held: HeldDelivery) => Promise<Settlement> = async () => ({ settle: 'done' }),
  ) => {
    const held: HeldDelivery[] = []
    const unreadable: string[] = []
    const unencrypted: number[] = []
    const consumer = createConsumer({
      maxHeldBytes: 64_000_000,
      redisUrl: redis.url,
      encryptionKeys,
      concurrency: 10,
      maxAttempts: 10,
      onUnencrypted: (deliveries) => void unencrypted.push(deliveries),
      onUnreadable: (_id, reason) => void unreadable.push(reason),
      handle: async (each) => {
        held.push(each)
        return handle(each)
      },
    })
    t.teardown(() => consumer.close({ timeoutMs: 2000 }))
    consumer.start()
    return { consumer, held, unreadable, unencrypted }
  }
  return { redis, produce, consume }
}

const bodiesOf = (held: readonly HeldDelivery[]) =>
  held.map((each) => (each.kind === 'replay' ? '' : Buffer.from(each.body).toString()))

t.test('with keys no body can be read in Redis: alone, in a group, resting after a failure', async (t) => {
  const { redis, produce, consume } = await aRedis(t)
  await produce([older], ['evt_1'])
  await produce([older], ['evt_2', 'evt_3', 'evt_4'])
  t.notMatch(await everyKey(redis), MARK)
  const { held } = consume([older], async ({ eventId }) =>
    eventId === 'evt_4' ? { settle: 'release', delayMs: 0 } : { settle: 'retry', reason: 'SQLSTATE XX000', body },
  )
  await eventually(async () => Number(await redis.command('ZCARD', 'bull:persona-events:delayed')) === 3)
  t.strictSame([...new Set(bodiesOf(held))], [body.toString()])
  t.notMatch(await everyKey(redis), MARK)
})

t.test('keys change without a delivery lost, whoever is restarted first', async (t) => {
  const { produce, consume } = await aRedis(t)
  await produce([], ['evt_0'])
  await produce([older], ['evt_1'])
  await produce([newer, older], ['evt_2'])
  const { held, unreadable } = consume([older, newer])
  await eventually(() => held.length === 3)
  t.strictSame(
    bodiesOf(held),
    Array.from({ length: 3 }, () => body.toString()),
  )
  t.strictSame(unreadable, [])
})

t.test('a worker without the key leaves the delivery, unused, for one that has it', async (t) => {
  const { redis, produce, consume } = await aRedis(t)
  await produce([newer], ['evt_1'])
  const without = consume([older])
  await eventually(() => without.unreadable.length > 0)
  t.strictSame(without.unreadable, ['JOB_KEY_UNKNOWN'])
  t.strictSame(without.held, [])
  await without.consumer.close({ timeoutMs: 2000 })
  t.equal(await redis.command('ZCARD', 'bull:persona-events:delayed'), 1, 'it rests')
  await redis.command('ZADD', 'bull:persona-events:delayed', '0', 'e-evt_1')
  const { held } = consume([newer])
  await eventually(() => held.length === 1, { deadlineMs: 20_000 })
  t.match(held[0], { eventId: 'evt_1', attemptsMade: 0 })
})

t.test('deliveries that came unencrypted to a worker with keys are handled, reported once and counted', async (t) => {
  const { produce, consume } = await aRedis(t)
  await produce([], ['evt_1'])
  await produce([], ['evt_2', 'evt_3', 'evt_4'])
  await produce([older], ['evt_5'])
  const startedAtMs = Date.now()
  let releases = 0
  const { consumer, held, unencrypted } = consume([older], async ({ eventId }) =>
    eventId === 'evt_1' && (releases += 1) < 3 ? { settle: 'release', delayMs: 0 } : { settle: 'done' },
  )
  await eventually(() => new Set(held.map(({ eventId }) => eventId)).size === 5 && releases === 3)
  t.equal(
    unencrypted.reduce((sum, deliveries) => sum + deliveries, 0),
    4,
  )
  await eventually(async () => (await consumer.unencrypted())?.count === 4)
  t.ok(((await consumer.unencrypted())?.lastAtMs ?? 0) >= startedAtMs)
})

t.test('without keys nothing is reported as unencrypted', async (t) => {
  const { produce, consume } = await aRedis(t)
  await produce([], ['evt_1'])
  const { consumer, held, unencrypted } = consume([])
  await eventually(() => held.length === 1)
  t.strictSame(unencrypted, [])
  t.equal(await consumer.unencrypted(), null)
})
