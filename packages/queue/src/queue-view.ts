import type { Redis } from 'ioredis'
import { countDeliveries } from './count-deliveries.ts'
import { onQueue, type QueueHandle } from './queue-handle.ts'
import { readInstallations } from './installations.ts'
import { readRestraint, type QueueRestraint } from './queue-restraint.ts'
import { isRedisReply } from './redis-fault.ts'
import { readUnencrypted, type UnencryptedDeliveries } from './unencrypted-deliveries.ts'

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
