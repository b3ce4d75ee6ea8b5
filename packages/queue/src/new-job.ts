import type { JobsOptions } from 'bullmq'
import { RETRY_BACKOFF } from './backoff.ts'
import type { Delivery, Replay } from './delivery.ts'
import {
  groupJobId,
  jobIdOf,
  undecryptableJobId,
  writeGroupData,
  writeJobData,
  writeUndecryptable,
  type JobData,
  type JobKeys,
  type UndecryptableDelivery,
} from './job-data.ts'

/** Every job's fate is the consumer's to decide; BullMQ must not give one up (or delete one) by itself. */
const jobOptions = {
  removeOnComplete: true,
  removeOnFail: false,
  attempts: 1_000_000,
  backoff: { type: RETRY_BACKOFF },
  stackTraceLimit: 0,
}

type NewJob = { readonly name: string; readonly data: JobData; readonly opts: JobsOptions & { readonly jobId: string } }

/** The job for deliveries that travel together, or for one alone. */
export function newJob(deliveries: readonly Delivery[], jobKeys: JobKeys): NewJob {
  const [first] = deliveries
  if (first === undefined) throw new RangeError('Expected at least one delivery')
  if (deliveries.length === 1) return newSingleJob(first, { attemptsMade: 0, delayMs: 0 }, jobKeys)
  const opts = { ...jobOptions, jobId: groupJobId(deliveries.length) }
  return { name: 'group', data: writeGroupData(deliveries, jobKeys.keys), opts }
}

/** The job for one that travels alone, or that has used up attempts in another job; it rests for `delayMs` first. */
export function newSingleJob(
  delivery: Delivery | Replay,
  history: { attemptsMade: number; delayMs: number },
  jobKeys: JobKeys,
): NewJob {
  const opts = {
    ...jobOptions,
    jobId: jobIdOf(delivery, jobKeys),
    ...(history.delayMs > 0 ? { delay: history.delayMs } : {}),
  }
  return { name: delivery.kind, data: writeJobData(delivery, history.attemptsMade, jobKeys.keys), opts }
}

/** The job for a delivery that does not decrypt; it rests for `delayMs` first. */
export function newUndecryptableJob(undecryptable: UndecryptableDelivery, delayMs: number): NewJob {
  const opts = { ...jobOptions, jobId: undecryptableJobId(undecryptable), delay: delayMs }
  return { name: undecryptable.data.kind, data: writeUndecryptable(undecryptable), opts }
}
