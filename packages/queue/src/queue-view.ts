import type { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { isRedisReply } from './errors.ts'
import { SIZE_PATTERN } from './job-data.ts'
import { onQueue, type QueueConnection } from './queue-connection.ts'

/** How many deliveries are in which state; those of one job are in the same. */
export type QueueCounts = {
  readonly waiting: number
  readonly active: number
  readonly delayed: number
  readonly failed: number
}

/** The settings of Redis on which the promise "nothing acknowledged is lost" rests. */
export type QueueDurability = {
  /** Expected `yes`. */
  readonly appendonly: string
  /** Expected `always`. */
  readonly appendfsync: string
  /** Expected `noeviction`. */
  readonly maxmemoryPolicy: string
}

/**
 * What keeps workers from taking jobs although they could. Dashboards set it; this program never does.
 *
 * - `paused`: nothing is taken until the queue is resumed.
 * - `limited`: a global concurrency or rate is set, so that a worker may get nothing while others work.
 */
export type QueueRestraint = 'paused' | 'limited'

/** Deliveries that came into the queue unencrypted although the worker that took them has keys. */
export type UnencryptedDeliveries = { readonly count: number; readonly lastAtMs: number }

/** Questions about the queue, each answered or rejected (`QueueUnavailableError`) within the deadline. */
export interface QueueView {
  /** Writes a tiny key that expires by itself; rejects when Redis is away, too slow or refuses writes. */
  probe(): Promise<void>
  /** Counts the deliveries by state. */
  counts(): Promise<QueueCounts>
  /** Gives the age in ms of the oldest job that no worker has in flight (delayed: of the 100 due next); null if none. */
  oldestWaitingMs(nowMs: number): Promise<number | null>
  /**
   * Gives the ids of the installations (databases) whose workers took from this queue within the last minute. With more
   * than one, each stores a part of the other's events.
   */
  installations(): Promise<readonly string[]>
  /** Tells what keeps workers from taking jobs; null: nothing. */
  restraint(): Promise<QueueRestraint | null>
  /** Tells which deliveries came unencrypted although a worker has keys; null if none in the last week. */
  unencrypted(): Promise<UnencryptedDeliveries | null>
  /** Gives the durability settings of Redis; null where it does not allow the question. */
  durability(): Promise<QueueDurability | null>
}

/** Jobs counted at once: some 2 ms of Redis' time, in which it does nothing else. */
const COUNTED_AT_ONCE = 5000

/** Adds up the sizes in the job ids of one part of a list or sorted set; gives the number of jobs and of deliveries. */
const sumSizes = `
local ids = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3])
local deliveries = 0
for _, id in ipairs(ids) do deliveries = deliveries + (tonumber(string.match(id, '${SIZE_PATTERN}')) or 1) end
return {#ids, deliveries}`

async function countIn(connection: QueueConnection, state: string, command: 'LRANGE' | 'ZRANGE'): Promise<number> {
  const { queue, client } = connection
  let deliveries = 0
  for (let start = 0; ; start += COUNTED_AT_ONCE) {
    const key = queue.toKey(state)
    const sums = await client.eval_ro(sumSizes, 1, key, command, start, start + COUNTED_AT_ONCE - 1)
    const [jobs = 0, found = 0] = sums as readonly number[]
    deliveries += found
    if (jobs < COUNTED_AT_ONCE) return deliveries
  }
}

/** Counts the deliveries of all jobs by state. A job that changes its state meanwhile may be missed. */
async function countDeliveries(connection: QueueConnection): Promise<QueueCounts> {
  const [waiting, paused, active, delayed, failed] = await Promise.all([
    countIn(connection, 'wait', 'LRANGE'),
    // Dashboards with BullMQ below 6 put waiting jobs there while the queue is paused.
    countIn(connection, 'paused', 'LRANGE'),
    countIn(connection, 'active', 'LRANGE'),
    countIn(connection, 'delayed', 'ZRANGE'),
    countIn(connection, 'failed', 'ZRANGE'),
  ])
  return { waiting: waiting + paused, active, delayed, failed }
}

async function oldestTimestampMs({ queue, client }: QueueConnection): Promise<number | null> {
  const [head, delayed] = await Promise.all([
    client.lindex(queue.toKey('wait'), '-1'),
    client.zrange(queue.toKey('delayed'), '0', '99'),
  ])
  const jobIds = head === null ? delayed : [head, ...delayed]
  const timestamps = await Promise.all(jobIds.map((jobId) => client.hget(queue.toKey(jobId), 'timestamp')))
  // A job may have been finished between the two questions.
  const known = timestamps.filter((timestamp) => timestamp !== null).map(Number)
  return known.length === 0 ? null : Math.min(...known)
}

/** Longer than several announcements; a worker that ended is forgotten then. */
const INSTALLATION_MS = 60_000

/** Replaces the entry of a worker at the time of Redis, and gives the entries of the last minute. */
const announceInstallation = `
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then redis.call('ZREM', KEYS[1], ARGV[2]) end
redis.call('ZADD', KEYS[1], nowMs, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', nowMs - tonumber(ARGV[3]))
return redis.call('ZRANGE', KEYS[1], 0, -1)`

/** Writes nothing, so that it is answered while Redis refuses writes. */
const readInstallations = `
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], nowMs - tonumber(ARGV[1]), '+inf')`

async function installationsBy(
  connection: QueueConnection,
  script: string,
  ...values: (string | number)[]
): Promise<readonly string[]> {
  const { client, queue } = connection
  const key = queue.toKey('installations')
  const entries = await onQueue(connection, async () => (await client.eval(script, 1, key, ...values)) as string[])
  return [...new Set(entries.map((entry) => entry.split(' ')[0] ?? ''))]
}

/** Makes the function by which one worker announces its installation, which may change; see `Consumer.announce`. */
export function announcer(connection: QueueConnection): (installation: string) => Promise<readonly string[]> {
  const worker = randomUUID()
  let last = ''
  return async (installation) => {
    const added = `${installation} ${worker}`
    const removed = last === added ? '' : last
    last = added
    return await installationsBy(connection, announceInstallation, added, removed, INSTALLATION_MS)
  }
}

/** Reads what restrains the queue; null: nothing. Rejects as `onQueue` does. */
export async function readRestraint(connection: QueueConnection): Promise<QueueRestraint | null> {
  const { client, queue } = connection
  const [paused, ...limits] = await onQueue(
    connection,
    async () => await client.hmget(queue.toKey('meta'), 'paused', 'concurrency', 'max'),
  )
  if (paused !== null && paused !== undefined) return 'paused'
  return limits.some((limit) => limit !== null) ? 'limited' : null
}

/** Counted from the first one on; forgotten when none has come for a week. */
const UNENCRYPTED_MS = 7 * 24 * 3600 * 1000

/** Adds to the count in Redis, which a command line without metrics reads. Rejects as `onQueue` does. */
export async function noteUnencrypted(connection: QueueConnection, deliveries: number): Promise<void> {
  const key = connection.queue.toKey('unencrypted')
  await onQueue(
    connection,
    async () =>
      await connection.client
        .multi()
        .hincrby(key, 'count', deliveries)
        .hset(key, 'lastAtMs', Date.now())
        .pexpire(key, UNENCRYPTED_MS)
        .exec(),
  )
}

async function readUnencrypted({ client, queue }: QueueConnection): Promise<UnencryptedDeliveries | null> {
  const { count, lastAtMs } = await client.hgetall(queue.toKey('unencrypted'))
  return count === undefined || lastAtMs === undefined ? null : { count: Number(count), lastAtMs: Number(lastAtMs) }
}

async function readDurability(client: Redis): Promise<QueueDurability | null> {
  try {
    const names = ['appendonly', 'appendfsync', 'maxmemory-policy'] as const
    const reply: string[] = await client.config('GET', ...names)
    const valueOf = (name: string) => reply[reply.indexOf(name) + 1] ?? ''
    return {
      appendonly: valueOf('appendonly'),
      appendfsync: valueOf('appendfsync'),
      maxmemoryPolicy: valueOf('maxmemory-policy'),
    }
  } catch (error) {
    // Managed services rename or forbid CONFIG.
    if (isRedisReply(error)) return null
    throw error
  }
}

/** Makes the answers to questions about a queue. */
export function createQueueView(connection: QueueConnection): QueueView {
  const { queue, client } = connection
  return {
    async probe() {
      const probeKey = `${queue.toKey('')}probe`
      await onQueue(connection, async () => await client.set(probeKey, '1', 'PX', 10_000))
    },
    counts: async () => await onQueue(connection, async () => await countDeliveries(connection)),
    async oldestWaitingMs(nowMs) {
      const oldest = await onQueue(connection, async () => await oldestTimestampMs(connection))
      return oldest === null ? null : Math.max(0, nowMs - oldest)
    },
    installations: async () => await installationsBy(connection, readInstallations, INSTALLATION_MS),
    restraint: async () => await readRestraint(connection),
    unencrypted: async () => await onQueue(connection, async () => await readUnencrypted(connection)),
    durability: async () => await onQueue(connection, async () => await readDurability(client)),
  }
}
