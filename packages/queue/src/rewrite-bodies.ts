import type { Job } from 'bullmq'
import type { Delivery, Replay, Settlement } from './delivery.ts'
import type { KeyRing } from '@persona-ingest/encryption'
import { readJobData, writeGroupData, writeJobData } from './job-data.ts'

function bodyOf(settlement: Settlement | undefined): Uint8Array | undefined {
  return settlement === undefined || settlement.settle === 'done' ? undefined : settlement.body
}

function withBody(delivery: Delivery | Replay, body: Uint8Array | undefined): Delivery | Replay {
  return delivery.kind === 'replay' || body === undefined ? delivery : { ...delivery, body }
}

function isDelivery(delivery: Delivery | Replay): delivery is Delivery {
  return delivery.kind !== 'replay'
}

/**
 * Replaces the bodies of a job that does not leave the queue yet, where its settlements, in the order of its deliveries,
 * say so. Rejects where Redis refuses: the job must not go back as it was then.
 */
export async function rewriteBodies(job: Job, settlements: readonly Settlement[], keys: KeyRing): Promise<void> {
  if (settlements.every((settlement) => bodyOf(settlement) === undefined)) return
  const read = readJobData(job.data, keys)
  if ('unreadable' in read) return
  const [first] = read.deliveries
  if (read.deliveries.length === 1 && first !== undefined) {
    await job.updateData(writeJobData(withBody(first.delivery, bodyOf(settlements[0])), first.attemptsMade, keys))
    return
  }
  const rewritten = read.deliveries.map(({ delivery }, index) => withBody(delivery, bodyOf(settlements[index])))
  // A replay always has a job of its own.
  await job.updateData(writeGroupData(rewritten.filter(isDelivery), keys))
}
