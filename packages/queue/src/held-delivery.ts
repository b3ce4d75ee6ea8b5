import type { Job } from 'bullmq'
import type { InFlightDelivery, DeliveryOutcome } from './delivery.ts'
import type { KeyRing } from '@persona-ingest/core'
import { readJobData, type UndecryptableDelivery, type UnreadableReason } from './job-data.ts'

type HeldJob =
  | {
      readonly deliveries: readonly InFlightDelivery[]
      readonly undecryptable: readonly UndecryptableDelivery[]
      readonly unencrypted: number
    }
  | { readonly unreadable: UnreadableReason }

/** Reads what a job holds, and how many of its bodies are not encrypted; or tells why it can't be read. */
export function heldDeliveries(job: Job, keys: KeyRing): HeldJob {
  const read = readJobData(job.data, keys)
  if ('unreadable' in read) return read
  const deliveries = read.deliveries.map(({ delivery, attemptsMade }) => ({
    ...delivery,
    attemptsMade: attemptsMade + job.attemptsMade,
    stalledCount: job.stalledCounter,
  }))
  const undecryptable = read.undecryptable.map((each) => ({
    ...each,
    attemptsMade: each.attemptsMade + job.attemptsMade,
  }))
  return { deliveries, undecryptable, unencrypted: read.unencrypted }
}

/** The caller's word about a held delivery; a rejection is a `retry`. Never rejects. */
export async function settlementOf(
  handle: (held: InFlightDelivery) => Promise<DeliveryOutcome>,
  held: InFlightDelivery,
  onError: (error: Error) => void,
): Promise<DeliveryOutcome> {
  try {
    return await handle(held)
  } catch (error) {
    // An error from afar may quote a person's data (PostgreSQL's do): only its kind is told.
    const kind = error instanceof Error ? error.name : typeof error
    onError(new Error(`Expected the handler of deliveries to settle, but it threw (${kind})`))
    return { action: 'retry', reason: `HANDLER_THREW ${kind}` }
  }
}
