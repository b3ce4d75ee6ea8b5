import { randomUUID } from 'node:crypto'
import { onQueue, type QueueHandle } from './queue-handle.ts'

/** Longer than several announcements; a worker that ended is forgotten then. */
const KEEP_MS = 60_000

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
export async function readInstallations(handle: QueueHandle): Promise<readonly string[]> {
  return await ask(handle, read, KEEP_MS)
}

/** Makes the function with which one worker notes its installation, which may change, and reads all as above. */
export function announcer(handle: QueueHandle): (installation: string) => Promise<readonly string[]> {
  const worker = randomUUID()
  let last = ''
  return async (installation) => {
    const added = `${installation} ${worker}`
    const removed = last === added ? '' : last
    last = added
    return await ask(handle, announce, added, removed, KEEP_MS)
  }
}
