import { SIZE_PATTERN } from './job-data.ts'
import type { QueueHandle } from './queue-handle.ts'
import type { QueueCounts } from './queue-view.ts'

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
export async function countDeliveries(handle: QueueHandle): Promise<QueueCounts> {
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
