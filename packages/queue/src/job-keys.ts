import { randomBytes } from 'node:crypto'
import type { Delivery, Replay } from './delivery.ts'
import type { JobKeys } from './job-data.ts'
import type { QueueHandle } from './queue-handle.ts'

const KEY_BYTES = 32

/**
 * The keys that jobs for these deliveries need.
 *
 * Without encryption keys the digests in ids of quarantined bodies are keyed by a random key that all processes share
 * through Redis. It protects nothing where Redis itself is stolen, but ids in logs, traces and dashboards give no body
 * away. Rejects with the error of Redis.
 */
export async function jobKeys(
  { client, queue, keys }: QueueHandle,
  deliveries: readonly (Delivery | Replay)[],
): Promise<JobKeys> {
  const needsKey = keys.newestId === null && deliveries.some(({ kind }) => kind === 'quarantined')
  if (!needsKey) return { keys, fallbackKey: null }
  const key = queue.toKey('digest-key')
  // Asked each time: an emptied Redis has a new one, and quarantined deliveries are few.
  await client.set(key, randomBytes(KEY_BYTES).toString('hex'), 'NX')
  return { keys, fallbackKey: Buffer.from((await client.get(key)) ?? '') }
}
