import type { Job } from 'bullmq'
import type { InFlightDelivery, DeliveryOutcome } from './delivery.ts'
import { AttemptFailed } from './held-worker.ts'
import type { JobKeys, UndecryptableDelivery } from './job-data.ts'
import { jobKeys } from './job-keys.ts'
import { newSingleJob, newUndecryptableJob } from './new-job.ts'
import { onQueue, type QueueHandle } from './queue-handle.ts'
import { release } from './release.ts'
import { rewriteBodies } from './rewrite-bodies.ts'

/** A held delivery and what is to become of it. */
export type Settled = { readonly held: InFlightDelivery; readonly outcome: DeliveryOutcome }

/** How long a job rests that this program can't read, or whose bodies it can't decrypt. */
export const UNREADABLE_PAUSE_MS = 30_000

type SettleJobOptions = {
  readonly job: Job
  readonly token: string
  readonly settled: readonly Settled[]
  /** What does not decrypt. It rests in jobs of its own, and uses up no attempt. */
  readonly undecryptable: readonly UndecryptableDelivery[]
  readonly queueHandle: QueueHandle
  /** How long a delivery rests after so many attempts, in ms. */
  readonly backoff: (attemptsMade: number) => number
  readonly onError: (error: unknown) => void
}

/** The rest that all deliveries of a job want alike, or null where they differ in anything. */
function commonRelease(settled: readonly Settled[]): number | null {
  const rests = new Set(settled.map(({ outcome }) => (outcome.action === 'requeue' ? outcome.delayMs : null)))
  const [delayMs = null] = rests
  return rests.size === 1 ? delayMs : null
}

function isDone({ outcome }: Settled): boolean {
  return outcome.action === 'ack'
}

/** A job of its own for a delivery that must not keep its companions, or be kept by them. */
function jobApart({ held, outcome }: Settled, backoff: (attemptsMade: number) => number, keys: JobKeys) {
  if (outcome.action === 'ack') throw new RangeError('Expected a delivery that is not done')
  const delivery = held.kind === 'replay' ? held : { ...held, body: outcome.body ?? held.body }
  const attemptsMade = held.attemptsMade + (outcome.action === 'retry' ? 1 : 0)
  const delayMs = outcome.action === 'retry' ? backoff(attemptsMade) : outcome.delayMs
  return newSingleJob(delivery, { attemptsMade, delayMs }, keys)
}

/**
 * Carries out what was decided about a job's deliveries; resolves where the job may leave the queue.
 *
 * Those of a group that are not done get jobs of their own, before the group leaves: dying in between leaves both, and
 * what is stored twice is a duplicate. So do bodies that do not decrypt, as soon as a companion is settled. Throws what tells BullMQ that the job goes back.
 */
export async function settleJob(options: SettleJobOptions): Promise<void> {
  const { job, token, settled, undecryptable, queueHandle, backoff, onError } = options
  if (undecryptable.length === 0 && settled.every(isDone)) return
  const delayMs = commonRelease(settled)
  const [first] = settled
  const isAlone = settled.length === 1 && undecryptable.length === 0
  const reason = isAlone && first?.outcome.action === 'retry' ? first.outcome.reason : null
  // Should this fail, the job stays held until its lock runs out, and is handled again.
  if (delayMs !== null || reason !== null) {
    const outcomes = settled.map(({ outcome }) => outcome)
    await rewriteBodies(job, outcomes, queueHandle.keys)
  }
  if (delayMs !== null) return await release(job, token, { delayMs, onError })
  if (reason !== null) throw new AttemptFailed(reason)
  const left = settled.filter((each) => !isDone(each))
  await onQueue(queueHandle, async () => {
    const keys = await jobKeys(
      queueHandle,
      left.map(({ held }) => held),
    )
    const resting = undecryptable.map((each) => newUndecryptableJob(each, UNREADABLE_PAUSE_MS))
    return await queueHandle.queue.addBulk([...left.map((each) => jobApart(each, backoff, keys)), ...resting])
  })
}
