import { eventJobId } from './job-data.ts'
import { onQueue, type QueueHandle } from './queue-handle.ts'

/** See `Producer.queuedReplays`. A settled job leaves Redis, so its key tells. */
export async function queuedReplays(handle: QueueHandle, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
  const { queue, client } = handle
  const found = await onQueue(handle, async () =>
    Promise.all(eventIds.map(async (eventId) => client.exists(queue.toKey(eventJobId({ kind: 'replay', eventId }))))),
  )
  return new Set(eventIds.filter((_, index) => found[index] === 1))
}
