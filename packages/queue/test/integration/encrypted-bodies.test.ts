import { Deadline } from '@persona-ingest/core'
import { randomBytes } from 'node:crypto'
import { everyKey, eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import {
  createConsumer,
  createProducer,
  type InFlightDelivery,
  type DeliveryOutcome,
  type UndecryptableBody,
} from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'

const aKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const [older, newer] = [aKey('older'), aKey('newer')]
const MARK = 'Marked-Person-Zoe'
const body = Buffer.from(`{"name":"${MARK}"}`)

const QUEUE = 'bull:persona-events:'
const DELAYED = `${QUEUE}delayed`
const ids = ['evt_1', 'evt_2', 'evt_3', 'evt_4', 'evt_5']

type Commands = { readonly command: (...args: (string | number)[]) => Promise<unknown> }

/** Lets the delayed job be taken at once. */
async function makeDue(redis: Commands): Promise<void> {
  await redis.command('ZADD', DELAYED, 0, String(await redis.command('ZRANGE', DELAYED, 0, 0)))
}

type Entry = { readonly eventId: string; readonly keyId: string; readonly body: string }

/** Changes the body of one event in the job that waits; gives what stood there. */
async function changeBody(
  redis: Commands,
  eventId: string,
  change: (entry: Entry) => Entry,
): Promise<Entry | undefined> {
  const key = `${QUEUE}${String(await redis.command('LINDEX', `${QUEUE}wait`, -1))}`
  const data = JSON.parse(String(await redis.command('HGET', key, 'data'))) as { readonly deliveries: readonly Entry[] }
  const deliveries = data.deliveries.map((each) => (each.eventId === eventId ? change(each) : each))
  await redis.command('HSET', key, 'data', JSON.stringify({ ...data, deliveries }))
  return data.deliveries.find((each) => each.eventId === eventId)
}

/** A Redis of its own, so that all that is in it can be searched. */
async function aRedis(t: Test) {
  const redis = await throwAwayRedis(t)
  const produce = async (encryptionKeys: readonly string[], eventIds: readonly string[]) => {
    const producer = createProducer({ redisUrl: redis.url, encryptionKeys })
    await producer.probe()
    await Promise.all(eventIds.map((id) => producer.enqueue(aDelivery(id, { body }), new Deadline(5000))))
    await producer.close()
  }
  const consume = (
    encryptionKeys: readonly string[],
    handle: (delivery: InFlightDelivery) => Promise<DeliveryOutcome> = async () => ({ action: 'ack' }),
  ) => {
    const inFlight: InFlightDelivery[] = []
    const undecryptable: { readonly jobId: string; readonly bodies: readonly UndecryptableBody[] }[] = []
    const unencrypted: number[] = []
    const consumer = createConsumer({
      maxInFlightBytes: 64_000_000,
      redisUrl: redis.url,
      encryptionKeys,
      concurrency: 10,
      maxAttempts: 10,
      onUnencrypted: (deliveries) => void unencrypted.push(deliveries),
      lockDurationMs: 1000,
      stalledIntervalMs: 300,
      onUndecryptable: (jobId, bodies) => void undecryptable.push({ jobId, bodies }),
      handle: async (each) => {
        inFlight.push(each)
        return handle(each)
      },
    })
    t.teardown(() => consumer.close({ timeoutMs: 2000 }))
    consumer.start()
    return { consumer, inFlight, undecryptable, unencrypted }
  }
  return { redis, produce, consume }
}

const bodiesOf = (inFlight: readonly InFlightDelivery[]) =>
  inFlight.map((each) => (each.kind === 'replay' ? '' : Buffer.from(each.body).toString()))

t.test('with keys no body can be read in Redis: alone, in a group, resting after a failure', async (t) => {
  const { redis, produce, consume } = await aRedis(t)
  await produce([older], ['evt_1'])
  await produce([older], ['evt_2', 'evt_3', 'evt_4'])
  t.notMatch(await everyKey(redis), MARK)
  const { inFlight } = consume([older], async ({ eventId }) =>
    eventId === 'evt_4' ? { action: 'requeue', delayMs: 0 } : { action: 'retry', reason: 'SQLSTATE XX000', body },
  )
  await eventually(async () => Number(await redis.command('ZCARD', 'bull:persona-events:delayed')) === 3)
  t.strictSame([...new Set(bodiesOf(inFlight))], [body.toString()])
  t.notMatch(await everyKey(redis), MARK)
})

t.test('keys change without a delivery lost, whoever is restarted first', async (t) => {
  const { produce, consume } = await aRedis(t)
  await produce([], ['evt_0'])
  await produce([older], ['evt_1'])
  await produce([newer, older], ['evt_2'])
  const { inFlight, undecryptable } = consume([older, newer])
  await eventually(() => inFlight.length === 3)
  t.strictSame(
    bodiesOf(inFlight),
    Array.from({ length: 3 }, () => body.toString()),
  )
  t.strictSame(undecryptable, [])
})

t.test('a worker without the key leaves the delivery, unused, for one that has it', async (t) => {
  const { redis, produce, consume } = await aRedis(t)
  await produce([newer], ['evt_1'])
  const without = consume([older])
  await eventually(async () => Number(await redis.command('ZCARD', DELAYED)) === 1)
  const reported = { eventId: 'evt_1', requestId: undefined, keyId: 'newer', isKeyHere: false }
  t.strictSame(without.undecryptable, [{ jobId: 'e-evt_1', bodies: [reported] }])
  t.strictSame(without.inFlight, [])
  await without.consumer.close({ timeoutMs: 2000 })
  t.equal(await redis.command('ZCARD', 'bull:persona-events:delayed'), 1, 'it rests')
  await makeDue(redis)
  const { inFlight } = consume([newer])
  await eventually(() => inFlight.length === 1, { deadlineMs: 20_000 })
  t.match(inFlight[0], { eventId: 'evt_1', attemptsMade: 0 })
})

t.test('a body of a group that does not decrypt rests alone, and its companions are stored', async (t) => {
  for (const [damage, isKeyHere] of [
    ['body', true],
    ['key', false],
  ] as const) {
    const { redis, produce, consume } = await aRedis(t)
    await produce([older], ids)
    const encrypted = await changeBody(redis, 'evt_3', (each) =>
      damage === 'body' ? { ...each, body: `AAAA${each.body.slice(4)}` } : { ...each, keyId: 'lost' },
    )
    const { inFlight, undecryptable, consumer } = consume([older])
    await eventually(() => inFlight.length === ids.length - 1)
    await eventually(async () => (await consumer.counts()).active === 0)
    t.strictSame(
      inFlight.map(({ eventId }) => eventId),
      ids.filter((id) => id !== 'evt_3'),
    )
    t.match(await consumer.counts(), { waiting: 0, active: 0, delayed: 1, failed: 0 })
    const keyId = damage === 'body' ? 'older' : 'lost'
    t.match(undecryptable[0], { jobId: /^g-5-/, bodies: [{ eventId: 'evt_3', keyId, isKeyHere }] })
    const jobId = String(await redis.command('ZRANGE', DELAYED, 0, 0))
    t.match(JSON.parse(String(await redis.command('HGET', `${QUEUE}${jobId}`, 'data'))), { eventId: 'evt_3', keyId })
    // It rests again and again, until what was encrypted can be read.
    await makeDue(redis)
    await eventually(() => undecryptable.length === 2)
    t.equal(undecryptable[1]?.jobId, jobId)
    await redis.command('HSET', `${QUEUE}${jobId}`, 'data', JSON.stringify({ v: 1, ...encrypted }))
    await eventually(async () => (await consumer.counts()).delayed === 1)
    await makeDue(redis)
    await eventually(() => inFlight.length === ids.length)
    t.match(inFlight.at(-1), { eventId: 'evt_3', attemptsMade: 0 })
    t.equal(bodiesOf(inFlight).at(-1), body.toString())
    await eventually(async () => Object.values(await consumer.counts()).every((count) => count === 0))
  }
})

t.test('a companion that fails uses up attempts of its own only', async (t) => {
  const { redis, produce, consume } = await aRedis(t)
  await produce([older], ['evt_1', 'evt_2'])
  await changeBody(redis, 'evt_2', (each) => ({ ...each, keyId: 'newer' }))
  const { consumer } = consume([older], async () => ({ action: 'retry', reason: 'SQLSTATE XX000' }))
  await eventually(async () => (await consumer.counts()).delayed === 2)
  t.equal(await redis.command('EXISTS', `${QUEUE}e-evt_1`), 1)
  const [jobId] = (await redis.command('KEYS', `${QUEUE}s-*`)) as string[]
  t.match(JSON.parse(String(await redis.command('HGET', jobId ?? '', 'data'))), { eventId: 'evt_2', attemptsMade: 0 })
})

t.test('a group is not lost where its body that does not decrypt could not be put apart', async (t) => {
  const { redis, produce, consume } = await aRedis(t)
  await produce([older], ids)
  await changeBody(redis, 'evt_3', (each) => ({ ...each, keyId: 'lost' }))
  let isRefusing = true
  const { inFlight, consumer } = consume([older], async () => {
    if (isRefusing) await redis.command('CONFIG', 'SET', 'min-replicas-to-write', 1)
    return { action: 'ack' }
  })
  await eventually(() => inFlight.length === ids.length - 1)
  isRefusing = false
  await redis.command('CONFIG', 'SET', 'min-replicas-to-write', 0)
  await eventually(() => inFlight.length === 2 * (ids.length - 1), { deadlineMs: 20_000 })
  await eventually(async () => (await consumer.counts()).active === 0)
  t.match(await consumer.counts(), { waiting: 0, active: 0, delayed: 1, failed: 0 })
})

t.test('a body that does not decrypt keeps no redelivery of its event away', async (t) => {
  const { redis, produce, consume } = await aRedis(t)
  await produce([newer], ['evt_1'])
  const { inFlight } = consume([older])
  await eventually(async () => Number(await redis.command('ZCARD', DELAYED)) === 1)
  await produce([older], ['evt_1'])
  await eventually(() => inFlight.length === 1)
  t.match(inFlight, [{ eventId: 'evt_1' }])
  t.equal(await redis.command('ZCARD', DELAYED), 1)
})

t.test('deliveries that came unencrypted to a worker with keys are handled, reported once and counted', async (t) => {
  const { produce, consume } = await aRedis(t)
  await produce([], ['evt_1'])
  await produce([], ['evt_2', 'evt_3', 'evt_4'])
  await produce([older], ['evt_5'])
  const startedAtMs = Date.now()
  let releases = 0
  const { consumer, inFlight, unencrypted } = consume([older], async ({ eventId }) =>
    eventId === 'evt_1' && (releases += 1) < 3 ? { action: 'requeue', delayMs: 0 } : { action: 'ack' },
  )
  await eventually(() => new Set(inFlight.map(({ eventId }) => eventId)).size === 5 && releases === 3)
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
  const { consumer, inFlight, unencrypted } = consume([])
  await eventually(() => inFlight.length === 1)
  t.strictSame(unencrypted, [])
  t.equal(await consumer.unencrypted(), null)
})
