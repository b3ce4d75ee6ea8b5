import type { Delivery, Settlement } from './delivery.ts'
import { heldDeliveries } from './held-delivery.ts'
import { onQueue, type QueueHandle } from './queue-handle.ts'
import { rewriteBodies } from './rewrite-bodies.ts'

/** Jobs that are looked for in one go. */
const CHUNK = 100

export type ReduceDelayedOptions = {
  readonly queueHandle: QueueHandle
  readonly reduce: (delivery: Delivery) => Promise<Uint8Array | null>
  readonly onError: (error: unknown) => void
}

async function reduceJob(options: ReduceDelayedOptions, jobId: string): Promise<boolean> {
  const { queueHandle, reduce } = options
  const job = await onQueue(queueHandle, async () => await queueHandle.queue.getJob(jobId))
  // It was taken and settled meanwhile, or it waits for a program that can read it.
  if (job === undefined) return false
  const held = heldDeliveries(job, queueHandle.keys)
  if ('unreadable' in held) return false
  const settlements: Settlement[] = []
  for (const delivery of held.deliveries) {
    const body = delivery.kind === 'replay' ? null : await reduce(delivery)
    settlements.push(body === null ? { settle: 'done' } : { settle: 'release', delayMs: 0, body })
  }
  if (settlements.every(({ settle }) => settle === 'done')) return false
  await onQueue(queueHandle, async () => await rewriteBodies(job, settlements, queueHandle.keys))
  return true
}

/** See `Consumer.reduceDelayed`. */
export async function reduceDelayed(options: ReduceDelayedOptions): Promise<number> {
  const { client, queue } = options.queueHandle
  let reduced = 0
  for (let start = 0; ; start += CHUNK) {
    const range = [String(start), String(start + CHUNK - 1)] as const
    const jobIds = await onQueue(options.queueHandle, async () => await client.zrange(queue.toKey('delayed'), ...range))
    for (const jobId of jobIds) {
      // One that can't be rewritten must not keep the others: a job that was settled meanwhile can't.
      const isReduced = await reduceJob(options, jobId).catch(options.onError)
      if (isReduced === true) reduced += 1
    }
    if (jobIds.length < CHUNK) return reduced
  }
}
