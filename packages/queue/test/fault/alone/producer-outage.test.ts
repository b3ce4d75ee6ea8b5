import { Deadline, withDeadline } from '@persona-ingest/core'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { eventually, freePort, halfOpenProxy, startRedis, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { createProducer, QueueUnavailableError, type Delivery, type Producer } from '../../../src/index.ts'
import { aDelivery } from '../../a-delivery.ts'
import { waitingEvents } from '../../waiting-events.ts'

// One lost promise here would end the ingress.
const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))
process.on('warning', (warning) => warning.name === 'MaxListenersExceededWarning' && unhandled.push(warning))

const MARKER = 'Mallory Markwell'
const aMarked = (eventId: string) => aDelivery(eventId, { body: Buffer.from(`{"name":"${MARKER}"}`) })

/** Everything an error tells to whoever logs it, own properties and causes included. */
function told(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = Object.getOwnPropertyNames(error).map((name) => [name, Reflect.get(error, name)])
  return JSON.stringify(own.filter(([name]) => name !== 'cause')) + told(error.cause ?? '')
}

function tooSlow(): never {
  throw new QueueUnavailableError('QUEUE_TOO_SLOW')
}

/** Enqueues as the ingress does, under one deadline, and gives the refusal that is expected. */
async function refusal(
  producer: Producer,
  delivery: Delivery,
  deadlineMs = 3000,
): Promise<QueueUnavailableError & { afterMs: number }> {
  const startedAt = performance.now()
  try {
    await withDeadline(deadlineMs, (deadline) => producer.enqueue(delivery, deadline), tooSlow)
  } catch (error) {
    if (!(error instanceof QueueUnavailableError)) throw error
    return Object.assign(error, { afterMs: performance.now() - startedAt })
  }
  throw new Error('expected a refusal, but the delivery was accepted')
}

t.test('Redis away at the start: refused at once, and accepted as soon as it is there', async (t) => {
  const port = await freePort()
  const errors: Error[] = []
  const producer = createProducer({
    encryptionKeys: [],
    redisUrl: `redis://127.0.0.1:${port}`,
    onError: (error) => errors.push(error),
  })
  t.teardown(() => producer.close())
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const error = await refusal(producer, aMarked('evt_early'))
    t.equal(error.code, 'QUEUE_UNREACHABLE')
    t.ok(error.afterMs < 3100)
    t.notMatch(told(error), MARKER)
  }
  await t.rejects(producer.probe(), { code: 'QUEUE_UNREACHABLE' })
  await t.rejects(producer.counts(), { code: 'QUEUE_UNREACHABLE' })
  await t.rejects(producer.oldestWaitingMs(0), { code: 'QUEUE_UNREACHABLE' })
  await t.rejects(producer.durability(), { code: 'QUEUE_UNREACHABLE' })
  t.notOk(producer.isReady())
  t.ok(errors.length > 0)

  const redis = await startRedis({ port })
  t.teardown(() => redis.stop())
  await eventually(() => producer.enqueue(aMarked('evt_late'), new Deadline(5000)).then(() => true), {
    deadlineMs: 4000,
  })
  t.equal((await producer.counts()).waiting, 1, 'refused deliveries were not kept for later')
})

t.test('Redis killed with deliveries in flight: each is refused in time, and it recovers', async (t) => {
  const redis = await throwAwayRedis(t)
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  await producer.probe()
  for (let round = 0; round < 3; round += 1) {
    await redis.freeze()
    const refusals = Array.from({ length: 50 }, (_, index) => refusal(producer, aMarked(`evt_${round}_${index}`)))
    await redis.kill()
    for (const error of await Promise.all(refusals)) {
      t.equal(error.code, 'QUEUE_UNREACHABLE')
      t.notMatch(told(error), MARKER)
    }
    await redis.restart()
    await eventually(() => producer.enqueue(aMarked(`evt_after_${round}`), new Deadline(5000)).then(() => true))
  }
})

t.test('Redis frozen: refused at the deadline, and it recovers when it thaws', async (t) => {
  const redis = await throwAwayRedis(t)
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url, deadlineMs: 500 })
  t.teardown(() => producer.close())
  await producer.probe()
  await redis.freeze()
  const refusals = await Promise.all(
    Array.from({ length: 50 }, (_, index) => refusal(producer, aMarked(`evt_${index}`), 500)),
  )
  for (const error of refusals) {
    t.equal(error.code, 'QUEUE_TOO_SLOW')
    t.ok(error.afterMs >= 450 && error.afterMs < 1000, `refused after ${error.afterMs} ms`)
    t.notMatch(told(error), MARKER)
  }
  await redis.thaw()
  await eventually(() => producer.enqueue(aMarked('evt_thawed'), new Deadline(5000)).then(() => true))
})

t.test('Redis frozen at the start: refused at the deadline, and it recovers when it thaws', async (t) => {
  const redis = await throwAwayRedis(t)
  await redis.freeze()
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url, deadlineMs: 400 })
  t.teardown(() => producer.close())
  const refusals = await Promise.all(Array.from({ length: 30 }, () => refusal(producer, aMarked('evt_frozen'), 400)))
  for (const error of refusals) t.ok(error.afterMs < 900, `refused after ${error.afterMs} ms`)
  await redis.thaw()
  await eventually(() => producer.enqueue(aMarked('evt_thawed'), new Deadline(5000)).then(() => true), {
    deadlineMs: 6000,
  })
})

t.test('a peer that vanished without a word is given up, and found again', async (t) => {
  const redis = await throwAwayRedis(t)
  const proxy = await halfOpenProxy({ targetPort: redis.port })
  t.teardown(() => proxy.close())
  const producer = createProducer({
    encryptionKeys: [],
    redisUrl: `redis://127.0.0.1:${proxy.port}`,
    deadlineMs: 300,
  })
  t.teardown(() => producer.close())
  await producer.probe()
  await proxy.silent()
  const error = await refusal(producer, aMarked('evt_silence'), 300)
  t.equal(error.code, 'QUEUE_TOO_SLOW')
  await eventually(() => !producer.isReady(), { deadlineMs: 4000 })
  await proxy.pass()
  await eventually(() => producer.enqueue(aMarked('evt_back'), new Deadline(5000)).then(() => true), {
    deadlineMs: 6000,
  })
})

t.test('an answer that is lost on its way: refused, and a blind repeat adds nothing', async (t) => {
  const redis = await throwAwayRedis(t)
  const proxy = await halfOpenProxy({ targetPort: redis.port })
  t.teardown(() => proxy.close())
  const producer = createProducer({
    encryptionKeys: [],
    redisUrl: `redis://127.0.0.1:${proxy.port}`,
    deadlineMs: 400,
  })
  t.teardown(() => producer.close())
  await producer.enqueue(aMarked('evt_loads_the_scripts'), new Deadline(5000))
  await proxy.mute()
  t.equal((await refusal(producer, aMarked('evt_unheard'), 400)).code, 'QUEUE_TOO_SLOW')
  t.equal(await redis.command('LLEN', 'bull:persona-events:wait'), 2, 'it was stored all the same')
  await proxy.pass()
  await eventually(() => producer.enqueue(aMarked('evt_unheard'), new Deadline(5000)).then(() => true))
  t.equal((await producer.counts()).waiting, 2)
})

t.test(
  'past its deadline a delivery that waits for its batch is never written; one on its way is answered late',
  async (t) => {
    const redis = await throwAwayRedis(t)
    const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
    t.teardown(() => producer.close())
    await producer.enqueue(aMarked('evt_loads_the_scripts'), new Deadline(5000))
    await redis.freeze()
    const onTheirWay = []
    for (const eventId of ['evt_first', 'evt_second']) {
      onTheirWay.push(producer.enqueue(aMarked(eventId), new Deadline(5000)))
      await new Promise(setImmediate)
    }
    const enqueues: Promise<void>[] = []
    const enqueue = async (deadline: Deadline) => {
      enqueues.push(producer.enqueue(aMarked('evt_third'), deadline))
      await enqueues[0]
    }
    await t.rejects(withDeadline(200, enqueue, tooSlow), { code: 'QUEUE_TOO_SLOW' })
    await t.rejects(enqueues[0] as Promise<void>, { code: 'QUEUE_TOO_SLOW' }, 'given up at the deadline, not later')
    await redis.thaw()
    await Promise.all(onTheirWay)
    await producer.enqueue(aMarked('evt_fourth'), new Deadline(5000))
    const kept = await waitingEvents(redis)
    t.strictSame([...kept].toSorted(), ['evt_first', 'evt_fourth', 'evt_loads_the_scripts', 'evt_second'])
  },
)

t.test('Redis without memory: refused at once by name, and accepted when there is room', async (t) => {
  const redis = await throwAwayRedis(t)
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  await producer.enqueue(aMarked('evt_before'), new Deadline(5000))
  await redis.command('CONFIG', 'SET', 'maxmemory', '1mb')
  await t.rejects(producer.probe(), { code: 'QUEUE_FULL' })
  const error = await refusal(producer, aMarked('evt_full'))
  t.equal(error.code, 'QUEUE_FULL')
  t.notMatch(told(error), MARKER)
  t.match(told(error.cause), /OOM/, 'the cause is told')
  await redis.command('CONFIG', 'SET', 'maxmemory', '0')
  await producer.probe()
  await producer.enqueue(aMarked('evt_after'), new Deadline(5000))
  t.equal((await producer.counts()).waiting, 2)
})

t.test('Redis turned into a replica: refused, and accepted when it is a master again', async (t) => {
  const redis = await throwAwayRedis(t)
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  await producer.enqueue(aMarked('evt_before'), new Deadline(5000))
  await redis.command('REPLICAOF', '127.0.0.1', await freePort())
  await refusal(producer, aMarked('evt_replica'))
  await t.rejects(producer.probe(), QueueUnavailableError)
  await redis.command('REPLICAOF', 'NO', 'ONE')
  await eventually(() => producer.enqueue(aMarked('evt_after'), new Deadline(5000)).then(() => true))
})

t.test('a wrong password: refused, never quoted, and accepted when Redis knows it', async (t) => {
  const redis = await throwAwayRedis(t)
  const errors: Error[] = []
  const producer = createProducer({
    encryptionKeys: [],
    redisUrl: redis.url.replace('//', '//anni:hunter22@'),
    onError: (error) => errors.push(error),
  })
  t.teardown(() => producer.close())
  const error = await refusal(producer, aMarked('evt_stranger'))
  await eventually(() => errors.length > 0)
  t.notMatch([error, ...errors].map(told).join(' '), /hunter22/)
  await redis.command('ACL', 'SETUSER', 'anni', 'on', '>hunter22', 'allkeys', '+@all')
  await eventually(() => producer.enqueue(aMarked('evt_known'), new Deadline(5000)).then(() => true))
})

t.test('an emptied Redis is served again, with few of BullMQ events kept', async (t) => {
  const redis = await throwAwayRedis(t)
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  await producer.enqueue(aMarked('evt_before'), new Deadline(5000))
  await redis.command('FLUSHALL')
  await redis.command('SCRIPT', 'FLUSH')
  await producer.enqueue(aMarked('evt_after'), new Deadline(5000))
  t.equal((await producer.counts()).waiting, 1)
})

t.test('rediss:// speaks TLS from the first byte', async (t) => {
  const firstBytes: number[] = []
  const server = createServer((socket) =>
    socket.on('error', () => {}).once('data', (data) => firstBytes.push(data.readUInt8())),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const producer = createProducer({
    encryptionKeys: [],
    redisUrl: `rediss://anni:pass@127.0.0.1:${port}/2`,
    deadlineMs: 300,
  })
  t.teardown(() => producer.close())
  await refusal(producer, aMarked('evt_tls'), 300)
  t.equal(firstBytes[0], 0x16, 'a handshake record')
})

t.test('in all of this no rejection went unhandled', async (t) => {
  t.strictSame(unhandled, [])
})
