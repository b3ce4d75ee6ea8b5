import { onQueue, type QueueHandle } from './queue-handle.ts'

/** Deliveries that came into the queue unencrypted although the worker that took them has keys. */
export type UnencryptedDeliveries = { readonly count: number; readonly lastAtMs: number }

/** Counted from the first one on; forgotten when none has come for a week. */
const KEEP_MS = 7 * 24 * 3600 * 1000

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
        .pexpire(key, KEEP_MS)
        .exec(),
  )
}

/** Reads the count; null where none came in the last week. */
export async function readUnencrypted(handle: QueueHandle): Promise<UnencryptedDeliveries | null> {
  const { count, lastAtMs } = await onQueue(handle, async () => await handle.client.hgetall(keyOf(handle)))
  return count === undefined || lastAtMs === undefined ? null : { count: Number(count), lastAtMs: Number(lastAtMs) }
}
