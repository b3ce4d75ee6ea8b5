import { onQueue, type QueueHandle } from './queue-handle.ts'

/**
 * What keeps workers from taking jobs although they could; set from a dashboard, since this program sets none of it.
 *
 * - `paused`: nothing is taken until the queue is resumed.
 * - `limited`: a global concurrency or rate is set, so that a worker may get nothing while others work.
 */
export type QueueRestraint = 'paused' | 'limited'

/** Jobs moved in one go: some milliseconds of Redis' time. */
const CHUNK = 5000

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
  const move = async () => await client.eval(takeBackPausedJobs, 2, ...keys, CHUNK)
  while ((await onQueue(handle, move)) === 1);
}
