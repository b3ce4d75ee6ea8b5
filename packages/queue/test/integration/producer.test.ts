import { Deadline } from '@persona-ingest/core'
import { throwAwayRedis, type TestScope } from '@persona-ingest/testkit'
import t from 'tap'
import { createProducer, type Delivery } from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'
import { waitingEvents } from '../waiting-events.ts'

const redis = await throwAwayRedis(t)
let prefixes = 0

function aProducer(t: TestScope) {
  const prefix = `test${(prefixes += 1)}`
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url, prefix })
  t.teardown(() => producer.close())
  return { producer, prefix, key: (name: string) => `${prefix}:persona-events:${name}` }
}

t.test('a delivery right after the start waits for the connection', async (t) => {
  const { producer } = aProducer(t)
  await producer.enqueue(aDelivery('evt_first'), new Deadline(5000))
  t.ok(producer.isReady())
  t.strictSame(await producer.counts(), { waiting: 1, active: 0, delayed: 0, failed: 0 })
})

t.test('what was confirmed is there after Redis was killed', async (t) => {
  const own = await throwAwayRedis(t)
  const producer = createProducer({ encryptionKeys: [], redisUrl: own.url })
  t.teardown(() => producer.close())
  const confirmed: string[] = []
  const enqueues = Array.from({ length: 200 }, async (_, index) => {
    const eventId = `evt_${index}`
    await producer.enqueue(aDelivery(eventId, { body: Buffer.alloc(3000, 'x') }), new Deadline(5000))
    confirmed.push(eventId)
    if (confirmed.length === 60) await own.kill()
  })
  await Promise.allSettled(enqueues)
  await own.restart()
  t.ok(confirmed.length >= 60)
  const kept = await waitingEvents(own)
  for (const eventId of confirmed) t.ok(kept.has(eventId), `${eventId} is kept`)
})

t.test('the same event twice, also at once, is one job', async (t) => {
  const { producer } = aProducer(t)
  const delivery = aDelivery('evt_twice')
  await Promise.all([producer.enqueue(delivery, new Deadline(5000)), producer.enqueue(delivery, new Deadline(5000))])
  await producer.enqueue({ ...delivery, receivedAtMs: delivery.receivedAtMs + 5 }, new Deadline(5000))
  t.equal((await producer.counts()).waiting, 1)
})

t.test('deliveries that arrive while an enqueue is under way share a job, and are counted one by one', async (t) => {
  const { producer, key } = aProducer(t)
  await producer.probe()
  await Promise.all(
    Array.from({ length: 120 }, (_, index) => producer.enqueue(aDelivery(`evt_${index}`), new Deadline(5000))),
  )
  t.equal((await producer.counts()).waiting, 120)
  t.ok(Number(await redis.command('LLEN', key('wait'))) <= 10, 'in few jobs')
  t.ok(Number(await redis.command('LLEN', key('wait'))) >= 3, 'of 50 at most')
})

t.test('a large delivery travels alone', async (t) => {
  const { producer, key } = aProducer(t)
  await producer.probe()
  const body = Buffer.alloc(1_500_000, 'x')
  await Promise.all([
    producer.enqueue(aDelivery('evt_small'), new Deadline(5000)),
    producer.enqueue(aDelivery('evt_large', { body }), new Deadline(5000)),
    producer.enqueue(aDelivery('evt_other'), new Deadline(5000)),
  ])
  t.equal((await producer.counts()).waiting, 3)
  t.equal(await redis.command('EXISTS', key('e-evt_large')), 1)
})

t.test('a queue of more jobs than are counted at once is counted whole', async (t) => {
  const { producer, key } = aProducer(t)
  const ids = Array.from({ length: 5003 }, (_, index) => (index % 2 === 0 ? `e-evt_${index}` : `g-3-${index}`))
  await redis.command('RPUSH', key('wait'), ...ids)
  t.equal((await producer.counts()).waiting, 2502 + 2501 * 3)
})

t.test('a delivery that no job could take must not spoil the job of others', async (t) => {
  const { producer } = aProducer(t)
  await producer.probe()
  const [bad, good] = await Promise.allSettled([
    producer.enqueue(aDelivery('evt:with:colons'), new Deadline(5000)),
    producer.enqueue(aDelivery('evt_good'), new Deadline(5000)),
  ])
  t.match([bad, good], [{ status: 'rejected', reason: { name: 'RangeError' } }, { status: 'fulfilled' }])
})

t.test('event ids that are names or numbers within BullMQ harm nothing', async (t) => {
  const { producer, key } = aProducer(t)
  const ids = [
    '0',
    '12345',
    'meta',
    'wait',
    'active',
    'id',
    'delayed',
    'failed',
    'events',
    'marker',
    'repeat',
    '-',
    '_',
  ]
  for (const eventId of ids) await producer.enqueue(aDelivery(eventId), new Deadline(5000))
  t.equal((await producer.counts()).waiting, ids.length)
  t.equal(await redis.command('TYPE', key('wait')), 'list')
  t.equal(await redis.command('TYPE', key('meta')), 'hash')
})

t.test('the same unusable bytes twice are one job, whatever id was read from them', async (t) => {
  const { producer } = aProducer(t)
  const quarantined: Delivery = {
    kind: 'quarantined',
    reason: 'INVALID_JSON',
    eventId: null,
    environment: 'production',
    receivedAtMs: 1,
    body: new Uint8Array([0xff, 0xfe, 0x00]),
  }
  await producer.enqueue(quarantined, new Deadline(5000))
  await producer.enqueue({ ...quarantined, receivedAtMs: 2 }, new Deadline(5000))
  await producer.enqueue({ ...quarantined, body: new Uint8Array([0xff]) }, new Deadline(5000))
  t.equal((await producer.counts()).waiting, 2)
})

t.test('the age of the queue is the age of its oldest job, resting ones included', async (t) => {
  const { producer, key } = aProducer(t)
  t.equal(await producer.oldestWaitingMs(Date.now()), null)
  await producer.enqueue(aDelivery('evt_older'), new Deadline(5000))
  const olderAtMs = Number(await redis.command('HGET', key('e-evt_older'), 'timestamp'))
  await producer.enqueue(aDelivery('evt_younger'), new Deadline(5000))
  t.equal(await producer.oldestWaitingMs(olderAtMs + 70_000), 70_000)
  t.equal(await producer.oldestWaitingMs(olderAtMs - 5), 0, 'a clock that runs behind gives no negative age')
  await redis.command('LREM', key('wait'), 1, 'e-evt_older')
  await redis.command('ZADD', key('delayed'), 1, 'e-evt_older')
  t.equal(await producer.oldestWaitingMs(olderAtMs + 80_000), 80_000)
})

t.test('the durability of Redis is told', async (t) => {
  const { producer } = aProducer(t)
  t.strictSame(await producer.durability(), {
    appendonly: 'yes',
    appendfsync: 'always',
    maxmemoryPolicy: 'noeviction',
  })
})

t.test('the durability is unknown where Redis does not tell it', async (t) => {
  await redis.command('ACL', 'SETUSER', 'modest', 'on', '>pass', 'allkeys', '+@all', '-config', '-info')
  const producer = createProducer({
    encryptionKeys: [],
    redisUrl: redis.url.replace('//', '//modest:pass@'),
    prefix: 'modest',
  })
  t.teardown(() => producer.close())
  t.equal(await producer.durability(), null)
  await producer.enqueue(aDelivery('evt_modest'), new Deadline(5000))
  t.equal((await producer.counts()).waiting, 1, 'a user that may not ask for INFO can enqueue')
})

t.test('credentials and the number of the database in the URL are respected', async (t) => {
  await redis.command('ACL', 'SETUSER', 'anni', 'on', '>p@ss:/word', 'allkeys', '+@all')
  const url = `redis://anni:p%40ss%3A%2Fword@127.0.0.1:${redis.port}/3`
  const producer = createProducer({ encryptionKeys: [], redisUrl: url, prefix: 'third' })
  t.teardown(() => producer.close())
  await producer.enqueue(aDelivery('evt_third'), new Deadline(5000))
  t.equal(await redis.command('EXISTS', 'third:persona-events:wait'), 0)
  t.match(await redis.command('INFO', 'keyspace'), /db3:keys=/)
})

t.test('BullMQ keeps few of its own events', async (t) => {
  const { producer, key } = aProducer(t)
  await producer.probe()
  await Promise.all(
    Array.from({ length: 1500 }, (_, index) => producer.enqueue(aDelivery(`evt_many${index}`), new Deadline(5000))),
  )
  t.equal(await redis.command('HGET', key('meta'), 'opts.maxLenEvents'), '100')
  // The stream is trimmed by whole nodes of 100 entries.
  t.ok(Number(await redis.command('XLEN', key('events'))) <= 300)
})

t.test('after close a delivery is refused at once', async (t) => {
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url, prefix: 'closed' })
  await producer.probe()
  await producer.close()
  await t.rejects(producer.enqueue(aDelivery('evt_late'), new Deadline(5000)), { code: 'QUEUE_CLOSED' })
})
