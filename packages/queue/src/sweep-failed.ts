import type { Job } from 'bullmq'
import type { InFlightDelivery, DeliveryOutcome } from './delivery.ts'
import { heldDeliveries } from './held-delivery.ts'
import { onQueue, type QueueHandle } from './queue-handle.ts'
import { rewriteBodies } from './rewrite-bodies.ts'

/** What is left over comes with the next sweep. */
const SWEEP_SIZE = 50

/** See `Consumer.sweepFailed`. */
export async function sweepFailed(options: {
  queueHandle: QueueHandle
  handle: (held: InFlightDelivery, reason: string) => Promise<DeliveryOutcome>
  onError: (error: unknown) => void
}): Promise<number> {
  const { queue } = options.queueHandle
  const ask = async <T>(question: () => Promise<T>) => await onQueue(options.queueHandle, question)
  // Without this look, each sweep would cost a script call on every worker for a set that is always empty.
  const failedCount = await ask(async () => await queue.getFailedCount())
  if (failedCount === 0) return 0
  const jobIds = await ask(async () => await queue.getRanges(['failed'], 0, SWEEP_SIZE - 1))

  let removed = 0
  for (const jobId of jobIds) {
    // One after the other: no more than one of them is in memory.
    const job: Job | undefined = await ask(async () => await queue.getJob(jobId))
    // Another worker may have swept it between the question and the answer.
    if (job === undefined) continue
    const held = heldDeliveries(job, options.queueHandle.keys)
    try {
      if ('unreadable' in held || held.undecryptable.length > 0) {
        // Back to waiting, where a consumer reports it and lets rest what it can't read.
        await ask(async () => await job.retry('failed'))
        continue
      }
      const outcomes: DeliveryOutcome[] = []
      for (const each of held.deliveries) outcomes.push(await options.handle(each, job.failedReason ?? ''))
      await ask(async () => await rewriteBodies(job, outcomes, options.queueHandle.keys))
      if (outcomes.some(({ action }) => action !== 'ack')) continue
      await ask(async () => await job.remove())
      removed += 1
    } catch (error) {
      // It stays where it is; one that can't be swept must not keep the others.
      options.onError(error)
    }
  }
  return removed
}
