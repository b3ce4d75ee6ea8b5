import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createNotificationQueue, createProducer, type NotificationQueueOptions } from '../../src/index.ts'

const redis = await throwAwayRedis(t)

function aQueue(consumer = `c-${randomUUID()}`) {
  const errors: Error[] = []
  return {
    errors,
    open: (send: NotificationQueueOptions['send'], more: Partial<NotificationQueueOptions> = {}) => {
      const queue = createNotificationQueue({
        redisUrl: redis.url,
        consumer,
        concurrency: 5,
        send,
        onError: (error) => void errors.push(error),
        lockDurationMs: 1000,
        stalledIntervalMs: 300,
        ...more,
      })
      t.teardown(() => queue.close({ timeoutMs: 2000 }))
      return queue
    },
  }
}

t.test('an object that waits is sent once, however often it is added', async (t) => {
  const sent: string[] = []
  const queue = aQueue().open(async (objectId) => void sent.push(objectId))
  for (let round = 0; round < 3; round += 1) await queue.add(['inq_1', 'inq_2', 'odd: id'])
  t.equal(await queue.count(), 3)
  queue.start()
  await eventually(async () => (await queue.count()) === 0)
  t.strictSame(sent.toSorted(), ['inq_1', 'inq_2', 'odd: id'])
})

t.test('an object that is added while it is sent is sent once more after that, and never twice at once', async (t) => {
  let underWay = 0
  let most = 0
  const releases: (() => void)[] = []
  const { open } = aQueue()
  const send = async () => {
    underWay += 1
    most = Math.max(most, underWay)
    await new Promise<void>((resolve) => void releases.push(resolve))
    underWay -= 1
  }
  const [one, other] = [open(send), open(send)]
  one.start()
  other.start()
  await one.add(['inq_1'])
  await eventually(() => releases.length === 1)
  for (let round = 0; round < 3; round += 1) await other.add(['inq_1'])
  t.equal(one.inFlightCount() + other.inFlightCount(), 1)
  releases[0]?.()
  await eventually(() => releases.length === 2)
  releases[1]?.()
  await eventually(async () => (await one.count()) === 0)
  t.strictSame([releases.length, most], [2, 1])
})

t.test('an object whose job is lost by half can be added again once it is forgotten', async (t) => {
  const sent: string[] = []
  const queue = aQueue('half').open(async (objectId) => void sent.push(objectId))
  await queue.add(['inq_1'])
  await redis.command('DEL', 'persona:notify:half:wait')
  await queue.add(['inq_1'])
  t.equal(await queue.count(), 0, 'a job that nobody takes stands for it')
  await queue.forget(['inq_1'])
  await queue.add(['inq_1'])
  queue.start()
  await eventually(() => sent.length === 1)
})

t.test('a send that throws is reported, and holds nothing up', async (t) => {
  let calls = 0
  const { open, errors } = aQueue()
  const queue = open(async () => {
    calls += 1
    throw new Error('no')
  })
  queue.start()
  await queue.add(['inq_1'])
  await eventually(() => errors.length === 1)
  await eventually(async () => (await queue.count()) === 0)
  await queue.add(['inq_1'])
  await eventually(async () => (await queue.count()) === 0)
  t.equal(calls, 2)
})

t.test('no key is one of the queue that takes deliveries, and jobs hold ids only', async (t) => {
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
  t.teardown(() => producer.close())
  const before = await producer.counts()
  await aQueue('named').open(async () => undefined).add(['inq_1']) // prettier-ignore
  t.strictSame(await producer.counts(), before)
  const keys = (await redis.command('KEYS', '*named*')) as string[]
  t.ok(keys.length > 0)
  for (const key of keys) t.match(key, /^persona:notify:named:/)
  t.equal(await redis.command('HGET', 'persona:notify:named:1', 'data'), '{"objectId":"inq_1"}')
})

t.test('a queue whose Redis is away rejects in time', async (t) => {
  const queue = aQueue().open(async () => undefined, { redisUrl: 'redis://127.0.0.1:9', deadlineMs: 200 })
  queue.start()
  for (const ask of [() => queue.add(['inq_1']), () => queue.count(), () => queue.probe()])
    await t.rejects(async () => void (await ask()), { name: 'QueueUnavailableError' })
})
