// What BullMQ does without each change of `src/bullmq-quirks.ts`. A test that fails says that its change may go.
import { eventually, throwAwayRedis, type RedisServer, type TestScope } from '@persona-ingest/testkit'
import { Queue, RedisConnection, Worker, type Job, type Processor, type WorkerOptions } from 'bullmq'
import { Redis } from 'ioredis'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'

// Read before the quirks are loaded, which change it.
const minimumVersion = RedisConnection.minimumVersion
const { PatchedWorker } = await import('../../src/bullmq-quirks.ts')

const PAYLOAD = 'x'.repeat(1_000_000)
let queues = 0

/** A worker as BullMQ makes it, whose protected methods a test may call. */
class PlainWorker extends Worker {
  fetches = 0
  blockSeconds(blockUntil: number): number {
    return this.getBlockTimeout(blockUntil)
  }
  async stopLockRenewal(): Promise<void> {
    await this.lockManager.close()
  }
  protected override async moveToActive(
    ...args: Parameters<Worker['moveToActive']>
  ): ReturnType<Worker['moveToActive']> {
    this.fetches += 1
    return await super.moveToActive(...args)
  }
}

/** A worker whose first report of an ack is refused by Redis. */
class RefusedWorker extends PlainWorker {
  #isRefused = false
  protected override async handleCompleted(
    ...args: Parameters<Worker['handleCompleted']>
  ): ReturnType<Worker['handleCompleted']> {
    if (this.#isRefused) return await super.handleCompleted(...args)
    this.#isRefused = true
    throw new Error('NOREPLICAS Not enough good replicas to write')
  }
}

function aClient(t: TestScope, url: string): Redis {
  const client = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

function aQueueOf(t: TestScope, redis: RedisServer) {
  const name = `plain${(queues += 1)}`
  const queue = new Queue(name, { connection: aClient(t, redis.url) })
  queue.on('error', () => {})
  return { name, queue }
}

type WorkerClass = new (name: string, processor: Processor, options: WorkerOptions) => PlainWorker

function aWorker(
  t: TestScope,
  name: string,
  options: { url: string; of?: WorkerClass; process?: (job: Job) => Promise<void> } & Partial<WorkerOptions>,
) {
  const { url, of: WorkerOf = PlainWorker, process = async () => {}, ...workerOptions } = options
  const client = aClient(t, url)
  const copies: Redis[] = []
  const duplicate = client.duplicate.bind(client)
  client.duplicate = (...args) => {
    const copy = duplicate(...args)
    copies.push(copy)
    return copy
  }
  const errors: Error[] = []
  const worker = new WorkerOf(name, process, {
    connection: client,
    stalledInterval: 1000,
    runRetryDelay: 1000,
    ...workerOptions,
  })
  worker.on('error', (error) => errors.push(error))
  t.teardown(async () => {
    // A close may never end: see the test of it.
    void worker.close(true)
    await worker.stopLockRenewal()
    for (const each of [client, ...copies]) each.disconnect()
  })
  return { worker, client, copies, errors }
}

const redis = await throwAwayRedis(t)

t.test('a queue without INFO is unusable for good, and without the question blocks for whole seconds', async (t) => {
  await redis.command('ACL', 'SETUSER', 'modest', 'on', '>pass', 'allkeys', '+@all', '-info')
  const url = redis.url.replace('//', '//modest:pass@')
  const asking = new Queue('asking', { connection: aClient(t, url) })
  asking.on('error', () => {})
  await t.rejects(asking.add('job', {}), /NOPERM/)
  await redis.command('ACL', 'SETUSER', 'modest', '+info')
  await t.rejects(asking.add('job', {}), /NOPERM/)
  t.equal(minimumVersion, '5.0.0', 'BullMQ assumes a Redis that blocks for whole seconds')
})

t.test('the settings of a queue are not written again into an emptied Redis', async (t) => {
  const own = await throwAwayRedis(t)
  const client = aClient(t, own.url)
  const queue = new Queue('emptied', { connection: client, streams: { events: { maxLen: 100 } } })
  queue.on('error', () => {})
  const setting = () => own.command('HGET', 'bull:emptied:meta', 'opts.maxLenEvents')
  await queue.add('job', {})
  await eventually(async () => (await setting()) === '100')
  await own.command('FLUSHALL')
  client.disconnect(true)
  await eventually(() => client.status === 'ready')
  await queue.add('job', {})
  await pause(200)
  t.not(await setting(), '100', 'the default of BullMQ instead')
})

t.test(
  'a worker blocks on a copy of its connection, which connects for ever after the connection was ended',
  async (t) => {
    const own = await throwAwayRedis(t)
    const { worker, client, copies } = aWorker(t, 'copied', { url: own.url })
    await worker.waitUntilReady()
    t.equal(copies.length, 1)
    client.disconnect()
    await eventually(() => client.status === 'end')
    await own.kill()
    await pause(300)
    t.not(copies[0]?.status, 'end')
  },
)

t.test('a graceful close does not end while Redis is away, and can not be forced then', async (t) => {
  const own = await throwAwayRedis(t)
  const { worker } = aWorker(t, 'closing', { url: own.url })
  await worker.waitUntilReady()
  await eventually(() => worker.fetches > 0)
  await own.kill()
  const isClosed = await Promise.race([
    Promise.all([worker.close(), worker.close(true)]).then(() => true),
    pause(2000).then(() => false),
  ])
  t.equal(isClosed, false)
})

t.test('a worker takes nothing from a Redis without memory', async (t) => {
  const own = await throwAwayRedis(t)
  const { name, queue } = aQueueOf(t, own)
  await queue.add('job', { text: PAYLOAD })
  await own.command('CONFIG', 'SET', 'maxmemory', '1mb')
  const taken: string[] = []
  const process = async (job: Job) => void taken.push(job.id ?? '')
  const { errors } = aWorker(t, name, { url: own.url, process })
  await eventually(() => errors.some(({ message }) => message.includes('OOM')))
  t.strictSame(taken, [])
})

t.test('a refused fetch is repeated at once, without end', async (t) => {
  await redis.command('ACL', 'SETUSER', 'idle', 'on', '>pass', 'allkeys', '+@all', '-zadd', '-rpoplpush', '-hmget')
  const { worker, errors } = aWorker(t, 'refused', { url: redis.url.replace('//', '//idle:pass@') })
  await eventually(() => errors.length > 0)
  const before = worker.fetches
  await pause(500)
  t.ok(worker.fetches - before > 10, `${worker.fetches - before} fetches in half a second`)
})

t.test('an ack that Redis refuses is taken for a failure of the job', async (t) => {
  const { name, queue } = aQueueOf(t, redis)
  const job = await queue.add('job', {}, { attempts: 5, backoff: 60_000 })
  aWorker(t, name, { url: redis.url, of: RefusedWorker })
  await eventually(async () => (await queue.getJob(job.id ?? ''))?.attemptsMade === 1)
  t.equal(await queue.getDelayedCount(), 1)
})

t.test('a fetch blocks for longer than 5 seconds where a job is delayed', async (t) => {
  const { worker } = aWorker(t, 'blocking', { url: redis.url, autorun: false })
  await worker.waitUntilReady()
  t.ok(worker.blockSeconds(Date.now() + 60_000) > 5)
})

t.test('a worker takes as many jobs as its concurrency, however large they are', async (t) => {
  const { name, queue } = aQueueOf(t, redis)
  for (let index = 0; index < 5; index += 1) await queue.add('job', { text: PAYLOAD })
  let atOnce = 0
  const process = async () => {
    atOnce += 1
    await eventually(() => atOnce === 5)
  }
  aWorker(t, name, { url: redis.url, process, concurrency: 5 })
  await eventually(() => atOnce === 5)
  t.equal(atOnce, 5)
})

t.test('the methods that are overridden are still there, and called', async (t) => {
  const { name, queue } = aQueueOf(t, redis)
  const calls: string[] = []
  class CountedWorker extends PatchedWorker {
    protected override jobArrived(): void {
      calls.push('jobArrived')
    }
    protected override mayFetch(): boolean {
      calls.push('mayFetch')
      return true
    }
    protected override jobLeft(): void {
      calls.push('jobLeft')
    }
  }
  await queue.add('job', {})
  const client = aClient(t, redis.url)
  const worker = new CountedWorker(name, async () => {}, { connection: client })
  t.teardown(() => worker.close(true))
  await eventually(() => calls.length === 3)
  t.strictSame(calls, ['jobArrived', 'mayFetch', 'jobLeft'])
})
