import type { Redis } from 'ioredis'
import { onQueue, type QueueHandle } from './queue-connection.ts'

import { isRedisReply } from './errors.ts'
import { SIZE_PATTERN } from './job-data.ts'
import { randomUUID } from 'node:crypto'

/**
 * What keeps workers from taking jobs although they could; set from a dashboard, since this program sets none of it.
 *
 * - `paused`: nothing is taken until the queue is resumed.
 * - `limited`: a global concurrency or rate is set, so that a worker may get nothing while others work.
 */
export type QueueRestraint = 'paused' | 'limited'

/** Jobs moved in one go: some milliseconds of Redis' time. */
const MOVED_AT_ONCE = 5000

/**
 * Moves jobs from the list of a paused queue to the waiting list, in their order and before what came later.
 *
 * Dashboards with BullMQ below 6 rename the waiting list while a queue is paused, and rename it back when it is resumed,
 * over all that BullMQ 6 has added to the waiting list meanwhile. An empty list of theirs is not renamed.
 */
const takeBackPausedJobs = `
for _ = 1, tonumber(ARGV[1]) do
  if not redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') then return 0 end
end
return 1`

/** Reads what restrains the queue; null: nothing. Rejects as `onQueue` does. */
export async function readRestraint(handle: QueueHandle): Promise<QueueRestraint | null> {
  const { client, queue } = handle
  const [paused, ...limits] = await onQueue(
    handle,
    async () => await client.hmget(queue.toKey('meta'), 'paused', 'concurrency', 'max'),
  )
  if (paused !== null && paused !== undefined) return 'paused'
  return limits.some((limit) => limit !== null) ? 'limited' : null
}

/** See {@link takeBackPausedJobs}. Rejects as `onQueue` does. */
export async function takeBackPaused(handle: QueueHandle): Promise<void> {
  const { client, queue } = handle
  const keys = [queue.toKey('paused'), queue.toKey('wait')]
  const move = async () => await client.eval(takeBackPausedJobs, 2, ...keys, MOVED_AT_ONCE)
  while ((await onQueue(handle, move)) === 1);
}

/** Longer than several announcements; a worker that ended is forgotten then. */
const INSTALLATION_MS = 60_000

/** Replaces the entry of a worker at the time of Redis, and gives the entries of the last minute. */
const announce = `
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then redis.call('ZREM', KEYS[1], ARGV[2]) end
redis.call('ZADD', KEYS[1], nowMs, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', nowMs - tonumber(ARGV[3]))
return redis.call('ZRANGE', KEYS[1], 0, -1)`

/** Writes nothing: it is asked while Redis refuses writes, too. */
const read = `
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], nowMs - tonumber(ARGV[1]), '+inf')`

async function ask(handle: QueueHandle, script: string, ...values: (string | number)[]): Promise<readonly string[]> {
  const { client, queue } = handle
  const key = queue.toKey('installations')
  const entries = await onQueue(handle, async () => (await client.eval(script, 1, key, ...values)) as string[])
  return [...new Set(entries.map((entry) => entry.split(' ')[0] ?? ''))]
}

/**
 * Gives the installations whose workers took from this queue within the last minute. With more than one, each stores a part
 * of the other's events. Rejects as `onQueue` does.
 */
async function readInstallations(handle: QueueHandle): Promise<readonly string[]> {
  return await ask(handle, read, INSTALLATION_MS)
}

/** Makes the function with which one worker notes its installation, which may change, and reads all as above. */
export function announcer(handle: QueueHandle): (installation: string) => Promise<readonly string[]> {
  const worker = randomUUID()
  let last = ''
  return async (installation) => {
    const added = `${installation} ${worker}`
    const removed = last === added ? '' : last
    last = added
    return await ask(handle, announce, added, removed, INSTALLATION_MS)
  }
}

/** Deliveries that came into the queue unencrypted although the worker that took them has keys. */
export type UnencryptedDeliveries = { readonly count: number; readonly lastAtMs: number }

/** Counted from the first one on; forgotten when none has come for a week. */
const UNENCRYPTED_MS = 7 * 24 * 3600 * 1000

function keyOf({ queue }: QueueHandle): string {
  return queue.toKey('unencrypted')
}

/** Adds to the count in Redis, which a command line reads that has no metrics. Rejects as `onQueue` does. */
export async function noteUnencrypted(handle: QueueHandle, deliveries: number): Promise<void> {
  const key = keyOf(handle)
  await onQueue(
    handle,
    async () =>
      await handle.client
        .multi()
        .hincrby(key, 'count', deliveries)
        .hset(key, 'lastAtMs', Date.now())
        .pexpire(key, UNENCRYPTED_MS)
        .exec(),
  )
}

/** Reads the count; null where none came in the last week. */
async function readUnencrypted(handle: QueueHandle): Promise<UnencryptedDeliveries | null> {
  const { count, lastAtMs } = await onQueue(handle, async () => await handle.client.hgetall(keyOf(handle)))
  return count === undefined || lastAtMs === undefined ? null : { count: Number(count), lastAtMs: Number(lastAtMs) }
}

/** Jobs looked at in one go: some 2 ms of Redis' time, in which it does nothing else. */
const CHUNK = 5000

/** Adds up what the job ids of one part of a list or sorted set tell; gives the number of jobs and of deliveries. */
const sumSizes = `
local ids = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3])
local deliveries = 0
for _, id in ipairs(ids) do deliveries = deliveries + (tonumber(string.match(id, '${SIZE_PATTERN}')) or 1) end
return {#ids, deliveries}`

async function countIn({ queue, client }: QueueHandle, state: string, command: 'LRANGE' | 'ZRANGE'): Promise<number> {
  let deliveries = 0
  for (let start = 0; ; start += CHUNK) {
    const key = queue.toKey(state)
    const sums = await client.eval_ro(sumSizes, 1, key, command, start, start + CHUNK - 1)
    const [jobs = 0, found = 0] = sums as readonly number[]
    deliveries += found
    if (jobs < CHUNK) return deliveries
  }
}

/** Counts the deliveries of all jobs by state. What moves from one state to the other meanwhile may be missed. */
async function countDeliveries(handle: QueueHandle): Promise<QueueCounts> {
  const [waiting, paused, active, delayed, failed] = await Promise.all([
    countIn(handle, 'wait', 'LRANGE'),
    // Where a dashboard with BullMQ below 6 puts them while the queue is paused.
    countIn(handle, 'paused', 'LRANGE'),
    countIn(handle, 'active', 'LRANGE'),
    countIn(handle, 'delayed', 'ZRANGE'),
    countIn(handle, 'failed', 'ZRANGE'),
  ])
  return { waiting: waiting + paused, active, delayed, failed }
}

/** How many deliveries stand where; those of one job stand together. */
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

/** Questions about the queue, each answered or rejected (`QueueUnavailableError`) within the deadline. */
export interface QueueView {
  /** Writes a tiny key that expires by itself; rejects when Redis is away, too slow or refuses writes. */
  probe(): Promise<void>
  /** Counts the deliveries by state. */
  counts(): Promise<QueueCounts>
  /** The age in ms of the oldest job that is not held by a worker (delayed ones: of the 100 due next); null if none. */
  oldestWaitingMs(nowMs: number): Promise<number | null>
  /** Ids of the installations (databases) whose workers took from this queue within the last minute; one is right. */
  installations(): Promise<readonly string[]>
  /** What keeps workers from taking jobs; null: nothing. */
  restraint(): Promise<QueueRestraint | null>
  /** Which deliveries came unencrypted although a worker has keys; null if none in the last week. */
  unencrypted(): Promise<UnencryptedDeliveries | null>
  /** What Redis says about its durability; null where it does not allow the question. */
  durability(): Promise<QueueDurability | null>
}

async function oldestTimestampMs({ queue, client }: QueueHandle): Promise<number | null> {
  const [head, delayed] = await Promise.all([
    client.lindex(queue.toKey('wait'), '-1'),
    client.zrange(queue.toKey('delayed'), '0', '99'),
  ])
  const jobIds = head === null ? delayed : [head, ...delayed]
  const timestamps = await Promise.all(jobIds.map((jobId) => client.hget(queue.toKey(jobId), 'timestamp')))
  // A job may have been settled between the two questions.
  const known = timestamps.filter((timestamp) => timestamp !== null).map(Number)
  return known.length === 0 ? null : Math.min(...known)
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

/** Answers questions about a queue over a fail-fast connection. */
export function createQueueView(handle: QueueHandle): QueueView {
  const { queue, client } = handle
  return {
    async probe() {
      const probeKey = `${queue.toKey('')}probe`
      await onQueue(handle, async () => await client.set(probeKey, '1', 'PX', 10_000))
    },
    async counts() {
      return await onQueue(handle, async () => await countDeliveries(handle))
    },
    async oldestWaitingMs(nowMs) {
      const oldest = await onQueue(handle, async () => await oldestTimestampMs(handle))
      return oldest === null ? null : Math.max(0, nowMs - oldest)
    },
    installations: async () => await readInstallations(handle),
    restraint: async () => await readRestraint(handle),
    unencrypted: async () => await readUnencrypted(handle),
    async durability() {
      return await onQueue(handle, async () => await readDurability(client))
    },
  }
}
