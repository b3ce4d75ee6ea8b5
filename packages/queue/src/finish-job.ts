import { backoffMs, type KeyRing } from '@persona-ingest/core'
import { DelayedError, WaitingError, type Job } from 'bullmq'
import { AttemptFailed } from './bullmq-quirks.ts'
import type { DeliveryOutcome, InFlightDelivery } from './delivery.ts'
import {
  jobKeys,
  newSingleJob,
  newUndecryptableJob,
  withBodies,
  type JobKeys,
  type UndecryptableDelivery,
} from './job-data.ts'
import { onQueue, type QueueConnection } from './queue-connection.ts'

/** Delay of a job that this program can't read, or whose bodies it can't decrypt. */
export const UNREADABLE_PAUSE_MS = 30_000

const FIRST_PAUSE_MS = 1000
/**
 * All pauses of one delivery together. Its attempts have ten minutes; the rest is for the work itself.
 *
 * @see docs/contract.md#3-environment-and-processes
 */
const PAUSES_MS = 511_000
/** Jitter only shortens a pause, so that the sum holds. */
const JITTER = 0.2

/**
 * Makes the function that gives the pause of a delivery after `attemptsMade` attempts (1 or more), in ms.
 *
 * `backoffMs` with a first pause of 1 s, and an equal share of what is left of 511 s as the longest. With 10 attempts and
 * no jitter: 1,000, 2,000, 4,000 up to 256,000. All pauses of one delivery take 511 s at most, for any `maxAttempts`;
 * beyond `maxAttempts` the last pause repeats.
 */
export function retryBackoff(
  maxAttempts: number,
  random: () => number = Math.random,
): (attemptsMade: number) => number {
  const longestMs: number[] = []
  let leftMs = PAUSES_MS
  for (let attempt = 1; attempt < maxAttempts; attempt += 1) {
    const shareMs = leftMs / (maxAttempts - attempt)
    longestMs.push(shareMs)
    leftMs -= backoffMs(attempt, { firstMs: FIRST_PAUSE_MS, longestMs: shareMs, jitter: 0 })
  }
  return (attemptsMade) => {
    const attempt = Math.max(1, Math.min(attemptsMade, longestMs.length))
    const shareMs = longestMs[attempt - 1] ?? FIRST_PAUSE_MS
    const pauseMs = backoffMs(attempt, { firstMs: FIRST_PAUSE_MS, longestMs: shareMs, jitter: JITTER, random })
    return Math.max(1, Math.floor(pauseMs))
  }
}

/**
 * Puts a job in flight back into the queue without using up an attempt. Throws the error by which BullMQ knows that.
 *
 * A job whose lock ran out belongs to another worker: this is reported, and the job is left alone.
 */
export async function requeueJob(
  job: Job,
  token: string,
  options: { readonly delayMs: number; readonly onError: (error: unknown) => void },
): Promise<never> {
  const isDelayed = options.delayMs > 0
  try {
    if (isDelayed) await job.moveToDelayed(Date.now() + options.delayMs, token)
    else await job.moveToWait(token)
  } catch (error) {
    options.onError(error)
  }
  throw isDelayed ? new DelayedError() : new WaitingError()
}

function bodyOf(outcome: DeliveryOutcome): Uint8Array | undefined {
  return outcome.action === 'ack' ? undefined : outcome.body
}

/**
 * Replaces the bodies of a job that stays in the queue, where its outcomes, in the order of its deliveries, have one.
 * Rejects where Redis refuses: the job must then not go back with its old bodies.
 */
export async function rewriteBodies(job: Job, outcomes: readonly DeliveryOutcome[], keys: KeyRing): Promise<void> {
  const bodies = outcomes.map(bodyOf)
  if (bodies.every((body) => body === undefined)) return
  const data = withBodies(job.data, bodies, keys)
  if (data !== null) await job.updateData(data)
}

/** A delivery in flight with its outcome. */
type DecidedDelivery = { readonly delivery: InFlightDelivery; readonly outcome: DeliveryOutcome }

/** The delay with which all deliveries of a job are requeued, or null where their outcomes differ in anything. */
function commonDelayMs(decided: readonly DecidedDelivery[]): number | null {
  const delays = new Set(decided.map(({ outcome }) => (outcome.action === 'requeue' ? outcome.delayMs : null)))
  const [delayMs = null] = delays
  return delays.size === 1 ? delayMs : null
}

/** The job of its own for a delivery whose outcome differs from that of its companions. */
function jobApart(decided: DecidedDelivery, backoff: (attemptsMade: number) => number, keys: JobKeys) {
  const { delivery, outcome } = decided
  if (outcome.action === 'ack') throw new RangeError('Expected a delivery that is retried or requeued')
  const kept = delivery.kind === 'replay' ? delivery : { ...delivery, body: outcome.body ?? delivery.body }
  const attemptsMade = delivery.attemptsMade + (outcome.action === 'retry' ? 1 : 0)
  const delayMs = outcome.action === 'retry' ? backoff(attemptsMade) : outcome.delayMs
  return newSingleJob(kept, { attemptsMade, delayMs }, keys)
}

type FinishJobOptions = {
  readonly job: Job
  readonly token: string
  readonly decided: readonly DecidedDelivery[]
  /** Deliveries that do not decrypt. They are delayed in jobs of their own, and use up no attempt. */
  readonly undecryptable: readonly UndecryptableDelivery[]
  readonly connection: QueueConnection
  /** Pause of a delivery after so many attempts, in ms. */
  readonly backoff: (attemptsMade: number) => number
  readonly onError: (error: unknown) => void
}

/**
 * Carries out the outcomes of a job's deliveries. Resolves where the job may leave the queue; throws the error by which
 * BullMQ knows that the job goes back.
 *
 * Deliveries of a group that are retried or requeued get jobs of their own before the group leaves; so do bodies that do
 * not decrypt. A crash in between leaves both jobs, and storing an event twice changes nothing.
 */
export async function finishJob(options: FinishJobOptions): Promise<void> {
  const { job, token, decided, undecryptable, connection, backoff, onError } = options
  const delayMs = commonDelayMs(decided)
  const [first] = decided
  const isAlone = decided.length === 1 && undecryptable.length === 0
  const reason = isAlone && first?.outcome.action === 'retry' ? first.outcome.reason : null
  // Where this fails, the job stays in flight until its lock runs out, and is handled again.
  if (delayMs !== null || reason !== null) {
    const outcomes = decided.map(({ outcome }) => outcome)
    await rewriteBodies(job, outcomes, connection.keys)
  }
  if (delayMs !== null) return await requeueJob(job, token, { delayMs, onError })
  if (reason !== null) throw new AttemptFailed(reason)
  const left = decided.filter(({ outcome }) => outcome.action !== 'ack')
  await onQueue(connection, async () => {
    const deliveries = left.map(({ delivery }) => delivery)
    const keys = await jobKeys(connection, deliveries)
    const resting = undecryptable.map((each) => newUndecryptableJob(each, UNREADABLE_PAUSE_MS))
    return await connection.queue.addBulk([...left.map((each) => jobApart(each, backoff, keys)), ...resting])
  })
}
