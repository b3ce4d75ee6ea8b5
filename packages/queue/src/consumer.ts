import type { Job } from 'bullmq'
import type { Delivery, DeliveryOutcome, InFlightDelivery } from './delivery.ts'
import { redisFault, type QueueUnavailableError } from './errors.ts'
import { finishJob, requeueJob, retryBackoff, UNREADABLE_PAUSE_MS } from './finish-job.ts'
import { closeWorker, InFlightWorker } from './in-flight-worker.ts'
import {
  attemptsBefore,
  readJob,
  undecryptableJobId,
  type UndecryptableDelivery,
  type UnreadableReason,
} from './job-data.ts'
import { commonQueueOptions, openQueue, openWorkerConnection, type QueueConnection } from './queue-connection.ts'
import { announcer, createQueueView, noteUnencrypted, type QueueView } from './queue-view.ts'
import { reduceQueued, sweepFailed, takeBackPaused } from './queued-jobs.ts'

/** A body that does not decrypt: its event, its key, and whether that key is here (then the body is damaged). */
export type UndecryptableBody = {
  readonly eventId: string | null
  readonly requestId: string | undefined
  readonly keyId: string
  readonly isKeyHere: boolean
}

export type ConsumerOptions = {
  /** `redis://` or `rediss://`. */
  readonly redisUrl: string
  /** First part of all Redis keys; default `bull`. */
  readonly prefix?: string | undefined
  /** Deliveries in flight at once; a job of several is taken as a whole, so that it may be some more. */
  readonly concurrency: number
  /** Size of the jobs in flight at once, in bytes; a larger job is in flight alone. */
  readonly maxInFlightBytes: number
  /** Attempts that the caller grants. It only stretches the backoff: the caller ends a delivery with `ack`. */
  readonly maxAttempts: number
  /** Called once per delivery in flight; a rejection counts as `retry`. */
  readonly handle: (delivery: InFlightDelivery) => Promise<DeliveryOutcome>
  /** Keys that bodies are encrypted with in Redis, as {@link KeyRing} takes them. Empty: bodies are not encrypted. */
  readonly encryptionKeys: readonly string[]
  /** Whether jobs get spans of OpenTelemetry, which the process has started. */
  readonly isTraced?: boolean | undefined
  /** Called for a job that this program can't read; it is requeued for 30 s, for a newer program. */
  readonly onUnreadable?: ((jobId: string, reason: UnreadableReason) => void) | undefined
  /**
   * Called once, where the first Redis that answered refuses the database of `redisUrl`. Nothing is ever put into another
   * database, and no retry helps: the process should end. A refusal after that is an outage.
   */
  readonly onUnusable?: ((error: QueueUnavailableError) => void) | undefined
  /**
   * Called for the bodies of a job that do not decrypt here. They are delayed for 30 s at a time, apart from those that do
   * decrypt, and use up no attempt, until the key is there.
   */
  readonly onUndecryptable?: ((jobId: string, bodies: readonly UndecryptableBody[]) => void) | undefined
  /** Called with the number of bodies of a job that arrived unencrypted although there are keys. All are handled. */
  readonly onUnencrypted?: ((deliveries: number) => void) | undefined
  /** Called for every error of Redis, for lost locks and for a `handle` that threw. An error has no payload. */
  readonly onError?: ((error: Error) => void) | undefined
  /** Longest wait for an answer to `probe`, `counts` and the like, in ms; default 3000. */
  readonly deadlineMs?: number | undefined
  /** How long the lock of a job lives that its worker does not renew, in ms; default 10,000. */
  readonly lockDurationMs?: number | undefined
  /** How often deliveries of dead processes are looked for, in ms; default 5000. */
  readonly stalledIntervalMs?: number | undefined
}

/**
 * Takes deliveries out of the queue.
 *
 * ```text
 * received ──enqueue──► queued ──taken──► in flight ──ack──────► gone (stored, or a dead letter)
 *                         ▲                  │
 *                         │                  ├──retry────► delayed, attemptsMade + 1 ──backoff──► queued
 *                         │                  ├──requeue──► delayed, attemptsMade as before ─────► queued
 *                         │                  └──process killed or frozen, lock runs out ────────► queued
 *                         └─ none of these ever ends in BullMQ's failed set; `sweepFailed` empties it all the same
 * ```
 *
 * A delivery may be in flight twice (a process dies after storing it and before the ack): storing is idempotent.
 */
export interface Consumer extends QueueView {
  /** Starts taking; while Redis is away it waits. */
  start(): void
  /**
   * Notes that workers of this installation take from the queue; to be repeated every few seconds. Gives the ids of all
   * installations that do. Rejects with a `QueueUnavailableError`.
   */
  announce(installation: string): Promise<readonly string[]>
  /**
   * Asks `reduce` for each delayed delivery, and keeps the body that it gives, if any, in place of the one in Redis. While
   * the queue is paused, it also asks for each that waits or was in flight: these are not taken soon. A job that is taken
   * meanwhile is handled as before. Gives the number of jobs that were rewritten. Rejects where a job failed, after the
   * others were tried; it is then to be called again.
   */
  reduceQueued(reduce: (delivery: Delivery) => Promise<Uint8Array | null>): Promise<number>
  /**
   * Moves jobs back to the waiting list that a dashboard with BullMQ below 6 moved away when it paused the queue. Rejects
   * with a `QueueUnavailableError`.
   */
  takeBackPaused(): Promise<void>
  /** Whether there is a connection right now. */
  isReady(): boolean
  /** Deliveries in flight: taken, and their outcome not yet confirmed by Redis. */
  inFlightCount(): number
  /** Size of the jobs in flight, in bytes as Redis holds them. */
  inFlightBytes(): number
  /** When this process last finished a delivery, in ms since 1970; its start if never. */
  lastFinishedAtMs(): number
  /**
   * Passes every job of BullMQ's failed set to `handle`, with BullMQ's reason, and removes it on `ack`; else it stays for
   * the next sweep. A failed job that kept its id would silently swallow a redelivery. Gives the number of removed jobs.
   */
  sweepFailed(handle: (delivery: InFlightDelivery, reason: string) => Promise<DeliveryOutcome>): Promise<number>
  /**
   * Stops taking, waits for what is in flight (`timeoutMs` at most), closes. Resolves to whether all was finished; the rest
   * comes back to the queue when its lock runs out. Never rejects, never hangs.
   */
  close(options: { timeoutMs: number }): Promise<boolean>
}

type Processing = {
  readonly connection: QueueConnection
  readonly state: { isClosing: boolean }
  readonly backoff: (attemptsMade: number) => number
  readonly onError: (thrown: unknown) => void
}

function bodyOf({ data, isKeyHere }: UndecryptableDelivery): UndecryptableBody {
  return { eventId: data.eventId, requestId: data.requestId, keyId: data.keyId ?? '', isKeyHere }
}

/** Whether a job may be delayed as it is: nothing in it decrypts, and its id does not keep a redelivery away. */
function staysAsItIs(job: Job, undecryptable: readonly UndecryptableDelivery[]): boolean {
  const [first] = undecryptable
  return undecryptable.length > 1 || (first !== undefined && undecryptableJobId(first) === job.id)
}

/** Asks the caller for the outcome of a delivery; a rejection is a `retry`. Never rejects. */
async function outcomeOf(
  handle: ConsumerOptions['handle'],
  delivery: InFlightDelivery,
  onError: (error: Error) => void,
): Promise<DeliveryOutcome> {
  try {
    return await handle(delivery)
  } catch (error) {
    // An error of another system may quote personal data (PostgreSQL's do): only its kind is told.
    const kind = error instanceof Error ? error.name : typeof error
    onError(new Error(`Expected the handler of deliveries to give an outcome, but it threw (${kind})`))
    return { action: 'retry', reason: `HANDLER_THREW ${kind}` }
  }
}

/** Makes the function that BullMQ calls for each job: it asks for the outcome of each delivery and carries them out. */
function jobProcessor(options: ConsumerOptions, { connection, state, backoff, onError }: Processing) {
  return async (job: Job, token: string): Promise<void> => {
    const requeue = async (delayMs: number) => await requeueJob(job, token, { delayMs, onError })
    // Fetched while this process closes: the next process may have it at once.
    if (state.isClosing) return await requeue(0)
    const read = readJob(job, connection.keys)
    if ('unreadable' in read) {
      options.onUnreadable?.(job.id ?? '', read.unreadable)
      return await requeue(UNREADABLE_PAUSE_MS)
    }
    const { deliveries, undecryptable } = read
    if (undecryptable.length > 0) {
      options.onUndecryptable?.(job.id ?? '', undecryptable.map(bodyOf))
      if (deliveries.length === 0 && staysAsItIs(job, undecryptable)) return await requeue(UNREADABLE_PAUSE_MS)
    }
    // Counted when the job is first taken: a job that goes back is taken again.
    if (read.unencrypted > 0 && job.attemptsStarted <= 1) {
      options.onUnencrypted?.(read.unencrypted)
      noteUnencrypted(connection, read.unencrypted).catch(onError)
    }
    const decided = await Promise.all(
      deliveries.map(async (delivery) => ({
        delivery,
        outcome: await outcomeOf(options.handle, delivery, onError),
      })),
    )
    // BullMQ removes a job whose processor resolves, and fetches the next one with the same command.
    if (undecryptable.length === 0 && decided.every(({ outcome }) => outcome.action === 'ack')) return
    await finishJob({ job, token, decided, undecryptable, connection, backoff, onError })
  }
}

/** Makes a consumer. Returns at once, also while Redis is away, and takes nothing before `start`. */
export function createConsumer(options: ConsumerOptions): Consumer {
  const onError = (thrown: unknown) => options.onError?.(redisFault(thrown))
  const state = { isClosing: false }
  const connection = openQueue({ ...options, deadlineMs: options.deadlineMs ?? 3000 })
  const workerConnection = openWorkerConnection(options.redisUrl, connection.noteRefused)
  const backoff = retryBackoff(options.maxAttempts)
  const common = commonQueueOptions(options)
  const worker = new InFlightWorker(common.name, jobProcessor(options, { connection, state, backoff, onError }), {
    ...common.options,
    connection: workerConnection.client,
    concurrency: options.concurrency,
    maxInFlightBytes: options.maxInFlightBytes,
    lockDurationMs: options.lockDurationMs,
    stalledIntervalMs: options.stalledIntervalMs,
    settings: { backoffStrategy: (made, _type, _error, job) => backoff(made + attemptsBefore(job?.data)) },
  })
  worker.on('error', onError)
  let closed: Promise<boolean> | undefined

  return {
    ...createQueueView(connection),
    start() {
      worker.run().catch(onError)
    },
    announce: announcer(connection),
    reduceQueued: async (reduce) => await reduceQueued({ connection, reduce, onError }),
    takeBackPaused: async () => await takeBackPaused(connection),
    isReady: () => workerConnection.client.status === 'ready',
    inFlightCount: () => worker.inFlightCount,
    inFlightBytes: () => worker.inFlightBytes,
    lastFinishedAtMs: () => worker.lastFinishedAtMs,
    sweepFailed: async (handle) => await sweepFailed({ connection, handle, onError }),
    async close({ timeoutMs }) {
      state.isClosing = true
      closed ??= closeWorker({ worker, connection: workerConnection, timeoutMs, onError })
      const isFinished = await closed
      await connection.close()
      return isFinished
    },
  }
}
