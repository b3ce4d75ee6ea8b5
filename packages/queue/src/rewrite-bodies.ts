import type { Job } from 'bullmq'
import type { DeliveryOutcome } from './delivery.ts'
import type { KeyRing } from '@persona-ingest/core'
import { withBodies } from './job-data.ts'

function bodyOf(outcome: DeliveryOutcome): Uint8Array | undefined {
  return outcome.action === 'ack' ? undefined : outcome.body
}

/**
 * Replaces the bodies of a job that does not leave the queue yet, where its outcomes, in the order of its deliveries,
 * say so. Rejects where Redis refuses: the job must not go back as it was then.
 */
export async function rewriteBodies(job: Job, outcomes: readonly DeliveryOutcome[], keys: KeyRing): Promise<void> {
  const bodies = outcomes.map(bodyOf)
  if (bodies.every((body) => body === undefined)) return
  const data = withBodies(job.data, bodies, keys)
  if (data !== null) await job.updateData(data)
}
