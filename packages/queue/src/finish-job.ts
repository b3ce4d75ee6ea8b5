import { DelayedError, type Job, WaitingError } from 'bullmq'
import type { DeliveryOutcome, InFlightDelivery } from './delivery.ts'
import { AttemptFailed } from './in-flight-worker.ts'
import {
  type JobKeys,
  jobKeys,
  newSingleJob,
  newUndecryptableJob,
  readJobData,
  type UndecryptableDelivery,
  type UnreadableReason,
  withBodies,
} from './job-data.ts'
import { onQueue, type QueueHandle } from './queue-connection.ts'
import type { KeyRing } from '@persona-ingest/core'

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

/** Name under which a job asks the consumer for its backoff. */
export const RETRY_BACKOFF = 'custom'

const FIRST_DELAY_MS = 1000
/**
 * All pauses of one delivery together. Its attempts have ten minutes; the rest is for the work itself.
 *
 * @see docs/contract.md#3-environment-and-processes
 */
const BUDGET_MS = 511_000
/** Jitter only ever shortens, so that the budget holds. */
const JITTER = 0.2

/** The pauses in ms after each of `maxAttempts - 1` attempts without jitter: doubling from 1 s, levelled to the budget. */
function pausesMs(maxAttempts: number): readonly number[] {
  const pauses: number[] = []
  let leftMs = BUDGET_MS
  for (let attempt = 1; attempt < maxAttempts; attempt += 1) {
    const equalShareMs = leftMs / (maxAttempts - attempt)
    const pauseMs = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), equalShareMs)
    pauses.push(pauseMs)
    leftMs -= pauseMs
  }
  return pauses
}

/**
 * Makes the function that tells how long a delivery rests after `attemptsMade` attempts (1 or more), in ms.
 *
 * For any `maxAttempts` all pauses of one delivery take 511 s at most. Beyond `maxAttempts` the last pause repeats.
 */
export function retryBackoff(
  maxAttempts: number,
  random: () => number = Math.random,
): (attemptsMade: number) => number {
  const pauses = pausesMs(maxAttempts)
  return (attemptsMade) => {
    const pauseMs = pauses[Math.min(attemptsMade, pauses.length) - 1] ?? FIRST_DELAY_MS
    return Math.max(1, Math.floor(pauseMs * (1 - JITTER * random())))
  }
}

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

/**
 * Puts a held job back into the queue without using up an attempt, then throws what tells BullMQ that it is settled.
 *
 * A job that is ours no more (its lock ran out and somebody else has it) is reported and left alone.
 */
export async function release(
  job: Job,
  token: string,
  options: { delayMs: number; onError: (error: unknown) => void },
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

/** A held delivery and what is to become of it. */
type Settled = { readonly held: InFlightDelivery; readonly outcome: DeliveryOutcome }

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
