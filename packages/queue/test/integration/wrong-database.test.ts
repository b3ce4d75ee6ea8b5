import { Deadline } from '@persona-ingest/core'
import { eventually, startRedis, throwAwayRedis, type RedisServer, type TestScope } from '@persona-ingest/testkit'
import t from 'tap'
import {
  createConsumer,
  createProducer,
  type InFlightDelivery,
  type QueueUnavailableError,
  type DeliveryOutcome,
} from '../../src/index.ts'
import { aDelivery } from '../a-delivery.ts'

/** A producer and a consumer on one database of a server; what they took and found unusable is noted. */
function onDatabase(t: TestScope, redisUrl: string) {
  const taken: InFlightDelivery[] = []
  const unusable: QueueUnavailableError[] = []
  const common = {
    redisUrl,
    encryptionKeys: [],
    onUnusable: (error: QueueUnavailableError) => void unusable.push(error),
  }
  const producer = createProducer({ ...common, deadlineMs: 1500 })
  t.teardown(() => producer.close())
  const handle = async (each: InFlightDelivery): Promise<DeliveryOutcome> => {
    taken.push(each)
    return { action: 'ack' }
  }
  const aConsumer = () => {
    const consumer = createConsumer({
      maxInFlightBytes: 64_000_000,
      ...common,
      concurrency: 10,
      maxAttempts: 10,
      handle,
    })
    t.teardown(() => consumer.close({ timeoutMs: 1000 }))
    consumer.start()
    return consumer
  }
  return { producer, aConsumer, taken, unusable }
}

async function keysIn(redis: RedisServer): Promise<string> {
  return String(await redis.command('INFO', 'keyspace'))
}

const refused = { name: 'QueueUnavailableError', code: 'QUEUE_DATABASE_REFUSED' }

t.test('a database that the server does not have takes nothing, and nothing goes into database 0', async (t) => {
  const redis = await throwAwayRedis(t, { args: ['--databases', '2'] })
  const { producer, unusable } = onDatabase(t, `${redis.url}/5`)
  await eventually(() => unusable.length > 0)
  await eventually(async () => {
    await t.rejects(producer.enqueue(aDelivery('evt_lost'), new Deadline(5000)), refused)
    return true
  })
  await t.rejects(producer.probe(), { name: 'QueueUnavailableError' })
  t.notMatch(await keysIn(redis), /db\d/)
  t.match(unusable, [refused])
  t.equal(unusable.length, 1, 'told once')
})

t.test('a worker on a database that the server does not have takes nothing from database 0', async (t) => {
  const redis = await throwAwayRedis(t, { args: ['--databases', '2'] })
  const production = onDatabase(t, redis.url)
  await production.producer.enqueue(aDelivery('evt_production'), new Deadline(5000))
  const staging = onDatabase(t, `${redis.url}/5`)
  const consumer = staging.aConsumer()
  await eventually(() => staging.unusable.length > 0)
  await eventually(async () => {
    await t.rejects(consumer.probe(), refused)
    return true
  })
  t.strictSame(staging.taken, [])
  t.equal((await production.producer.counts()).waiting, 1)
})

t.test('a user who may not select a database takes nothing from database 0', async (t) => {
  const redis = await throwAwayRedis(t)
  await redis.command('ACL', 'SETUSER', 'modest', 'on', '>pass', 'allkeys', '+@all', '-select')
  const { producer, unusable } = onDatabase(t, `${redis.url.replace('//', '//modest:pass@')}/5`)
  await eventually(() => unusable.length > 0)
  await t.rejects(producer.enqueue(aDelivery('evt_lost'), new Deadline(5000)), { name: 'QueueUnavailableError' })
  t.notMatch(await keysIn(redis), /db\d/)
})

t.test('a database that is gone after a reconnect is an outage, and comes back without a restart', async (t) => {
  const first = await startRedis()
  const { port } = first
  let server = first
  t.teardown(() => server.stop())
  const { producer, aConsumer, taken, unusable } = onDatabase(t, `redis://127.0.0.1:${port}/5`)
  aConsumer()
  await producer.enqueue(aDelivery('evt_before'), new Deadline(5000))
  await eventually(() => taken.length === 1)
  await first.stop()
  server = await startRedis({ port, args: ['--databases', '2'] })
  const other = onDatabase(t, `redis://127.0.0.1:${port}`)
  await other.producer.enqueue(aDelivery('evt_of_others'), new Deadline(5000))
  await eventually(async () => {
    const error = await producer.enqueue(aDelivery('evt_lost'), new Deadline(5000)).catch((thrown: unknown) => thrown)
    return (error as QueueUnavailableError).code === 'QUEUE_DATABASE_REFUSED'
  })
  t.equal((await other.producer.counts()).waiting, 1)
  t.strictSame(unusable, [], 'the process goes on')
  await server.stop()
  server = await startRedis({ port })
  await eventually(() => producer.enqueue(aDelivery('evt_after'), new Deadline(5000)).then(() => true))
  await eventually(() => taken.length === 2)
  t.match(taken, [{ eventId: 'evt_before' }, { eventId: 'evt_after' }])
})
