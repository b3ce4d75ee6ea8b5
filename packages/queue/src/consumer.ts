import type { Job } from 'bullmq'
import { announcer, createQueueView, noteUnencrypted, type QueueView, takeBackPaused } from './queue-view.ts'
import { heldDeliveries, release, retryBackoff, settleJob, settlementOf, UNREADABLE_PAUSE_MS } from './finish-job.ts'
import { closeWorker, HeldWorker } from './in-flight-worker.ts'
import type { Delivery, InFlightDelivery, DeliveryOutcome } from './delivery.ts'

import { attemptsBefore, undecryptableJobId, type UndecryptableDelivery, type UnreadableReason } from './job-data.ts'
import {
  DEFAULT_PREFIX,
  openQueue,
  patientConnection,
  QUEUE_NAME,
  type QueueHandle,
  telemetry,
} from './queue-connection.ts'

import { type QueueUnavailableError, redisFault } from './errors.ts'

import { reduceQueued, sweepFailed } from './queued-jobs.ts'

/** A body that does not decrypt: whose, with which key, and whether that key is here (then the body is damaged). */
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
  /** Deliveries held at once; a job of several is taken as a whole, so that it may be some more. */
  readonly concurrency: number
  /** Size of the jobs held at once, in bytes; a larger job is held alone. */
  readonly maxInFlightBytes: number
  /** Attempts that the caller grants; only stretches the backoff, the caller ends a delivery with `ack`. */
  readonly maxAttempts: number
  /** Called once per held delivery; a rejection counts as `retry`. */
  readonly handle: (held: InFlightDelivery) => Promise<DeliveryOutcome>
  /** Keys that bodies are encrypted with in Redis; see {@link KeyRing}. Empty: bodies are not encrypted. */
  readonly encryptionKeys: readonly string[]
  /** Whether jobs get spans of OpenTelemetry, which the process has started. */
  readonly isTraced?: boolean | undefined
  /** Hears of a job that this program can't read; it was put back for 30 s, for a newer program. */
  readonly onUnreadable?: ((jobId: string, reason: UnreadableReason) => void) | undefined
  /**
   * Is told once that the first Redis which answered refuses what `redisUrl` selects. Nothing is ever put into another
   * database, and no retry helps: the process should end. A refusal after that is an outage.
   */
  readonly onUnusable?: ((error: QueueUnavailableError) => void) | undefined
  /**
   * Hears of the bodies of a job that do not decrypt here. They rest for 30 s at a time, apart from what does decrypt, and
   * use up no attempt, until the key is there.
   */
  readonly onUndecryptable?: ((jobId: string, bodies: readonly UndecryptableBody[]) => void) | undefined
  /** Is told how many bodies of a job arrived unencrypted although there are keys. They are handled like all others. */
  readonly onUnencrypted?: ((deliveries: number) => void) | undefined
  /** Hears of every trouble with Redis, of lost locks and of a `handle` that threw. Holds no payload. */
  readonly onError?: ((error: Error) => void) | undefined
  /** Longest wait for an answer to `probe`, `counts` and the like, in ms; default 3000. */
  readonly deadlineMs?: number | undefined
  /** How long a delivery stays ours without a word from us, in ms; default 10,000. */
  readonly lockDurationMs?: number | undefined
  /** How often we look for deliveries of dead processes, in ms; default 5000. */
  readonly stalledIntervalMs?: number | undefined
}

/**
 * Takes deliveries out of the queue.
 *
 * ```text
 * received ──enqueue──► queued ──taken──► held ──done─────► gone (stored, or a dead letter)
 *                         ▲                │
 *                         │                ├──retry────► resting, attemptsMade + 1 ──backoff──► queued
 *                         │                ├──release──► resting, attemptsMade as before ──────► queued
 *                         │                └──process killed or frozen, lock runs out ─────────► queued
 *                         └─ none of these ever ends in BullMQ's failed set; `sweepFailed` empties it all the same
 * ```
 *
 * A delivery may be held more than once (a process dies after storing and before settling): storing is idempotent.
 */
export interface Consumer extends QueueView {
  /** Starts taking; while Redis is away it waits. */
  start(): void
  /**
   * Notes that workers of this installation take from the queue; to be repeated every few seconds. Returns the ids of all
   * installations that do. Rejects with a `QueueUnavailableError`.
   */
  announce(installation: string): Promise<readonly string[]>
  /**
   * Asks `reduce` for each delivery that rests before its next try, and keeps the body that it gives, if any, in place of
   * the one in Redis. While the queue is paused, it also asks for each that waits and each that a worker had: nothing else
   * would take those soon. A job that is taken meanwhile is handled as before. Returns how many jobs were rewritten.
   * Rejects where a job failed, after the others were tried; it is then to be called again.
   */
  reduceQueued(reduce: (delivery: Delivery) => Promise<Uint8Array | null>): Promise<number>
  /**
   * Puts jobs where they can be taken that a dashboard with BullMQ below 6 moved away when it paused the queue. Rejects
   * with a `QueueUnavailableError`.
   */
  takeBackPaused(): Promise<void>
  /** Whether there is a connection right now. */
  isReady(): boolean
  /** Deliveries held now: taken, and not yet confirmed as settled. */
  inFlightCount(): number
  /** Size of the jobs held now, in bytes as Redis holds them. */
  inFlightBytes(): number
  /** When this process last settled a delivery, in ms since 1970; its start if never. */
  lastFinishedAtMs(): number
  /**
   * Hands every job of BullMQ's failed set to `handle`, with what BullMQ says about it, and removes it when it is `ack`;
   * else it stays for the next sweep. A failed job kept under its id would silently swallow a redelivery. Returns how
   * many were removed.
   */
  sweepFailed(handle: (held: InFlightDelivery, reason: string) => Promise<DeliveryOutcome>): Promise<number>
  /**
   * Stops taking, waits for what is held (`timeoutMs` at most), closes. Resolves to whether all was settled; what was
   * not comes back to the queue when its lock runs out. Never rejects, never hangs.
   */
  close(options: { timeoutMs: number }): Promise<boolean>
}

type Processing = {
  readonly queueHandle: QueueHandle
  readonly state: { isClosing: boolean }
  readonly backoff: (attemptsMade: number) => number
  readonly onError: (thrown: unknown) => void
}

function bodyOf({ data, isKeyHere }: UndecryptableDelivery): UndecryptableBody {
  return { eventId: data.eventId, requestId: data.requestId, keyId: data.keyId ?? '', isKeyHere }
}

/** Whether all of a job rests as it is: nothing in it decrypts, and its id does not keep a redelivery away. */
function restsAsItIs(job: Job, undecryptable: readonly UndecryptableDelivery[]): boolean {
  const [first] = undecryptable
  return undecryptable.length > 1 || (first !== undefined && undecryptableJobId(first) === job.id)
}

/** What BullMQ calls for each job: asks the caller for an outcome of each delivery and carries them out. */
function jobProcessor(options: ConsumerOptions, { queueHandle, state, backoff, onError }: Processing) {
  return async (job: Job, token: string): Promise<void> => {
    const back = async (delayMs: number) => await release(job, token, { delayMs, onError })
    // Fetched while we were closing: nobody has seen it yet, the next process may have it at once.
    if (state.isClosing) return await back(0)
    const held = heldDeliveries(job, queueHandle.keys)
    if ('unreadable' in held) {
      options.onUnreadable?.(job.id ?? '', held.unreadable)
      return await back(UNREADABLE_PAUSE_MS)
    }
    const { deliveries, undecryptable } = held
    if (undecryptable.length > 0) {
      options.onUndecryptable?.(job.id ?? '', undecryptable.map(bodyOf))
      if (deliveries.length === 0 && restsAsItIs(job, undecryptable)) return await back(UNREADABLE_PAUSE_MS)
    }
    // Counted when it is first taken: a job that goes back is taken again.
    if (held.unencrypted > 0 && job.attemptsStarted <= 1) {
      options.onUnencrypted?.(held.unencrypted)
      noteUnencrypted(queueHandle, held.unencrypted).catch(onError)
    }
    const settled = await Promise.all(
      deliveries.map(async (each) => ({
        held: each,
        outcome: await settlementOf(options.handle, each, onError),
      })),
    )
    await settleJob({ job, token, settled, undecryptable, queueHandle, backoff, onError })
  }
}

/** Makes a consumer. Returns at once, also while Redis is away, and takes nothing before `start`. */
export function createConsumer(options: ConsumerOptions): Consumer {
  const onError = (thrown: unknown) => options.onError?.(redisFault(thrown))
  const state = { isClosing: false }
  const queueHandle = openQueue({ ...options, deadlineMs: options.deadlineMs ?? 3000 })
  const connection = patientConnection(options.redisUrl, queueHandle.noteRefused)
  const backoff = retryBackoff(options.maxAttempts)
  const worker = new HeldWorker(QUEUE_NAME, jobProcessor(options, { queueHandle, state, backoff, onError }), {
    connection: connection.client,
    prefix: options.prefix ?? DEFAULT_PREFIX,
    ...telemetry(options.isTraced),
    autorun: false,
    skipVersionCheck: true,
    concurrency: options.concurrency,
    maxHeldBytes: options.maxInFlightBytes,
    lockDuration: options.lockDurationMs ?? 10_000,
    stalledInterval: options.stalledIntervalMs ?? 5000,
    // BullMQ's default of 1 gives a job up when its process was killed twice.
    maxStalledCount: 1_000_000,
    // How soon a settling is tried again when the connection broke; BullMQ's 15 s would outlast the lock.
    runRetryDelay: 1000,
    settings: { backoffStrategy: (made, _type, _error, job) => backoff(made + attemptsBefore(job?.data)) },
  })
  worker.on('error', onError)
  let closed: Promise<boolean> | undefined

  return {
    ...createQueueView(queueHandle),
    start() {
      worker.run().catch(onError)
    },
    announce: announcer(queueHandle),
    reduceQueued: async (reduce) => await reduceQueued({ queueHandle, reduce, onError }),
    takeBackPaused: async () => await takeBackPaused(queueHandle),
    isReady: () => connection.client.status === 'ready',
    inFlightCount: () => worker.heldCount,
    inFlightBytes: () => worker.heldBytes,
    lastFinishedAtMs: () => worker.lastSettledAtMs,
    sweepFailed: async (handle) => await sweepFailed({ queueHandle, handle, onError }),
    async close({ timeoutMs }) {
      state.isClosing = true
      closed ??= closeWorker({ worker, connection, timeoutMs, onError })
      const isSettled = await closed
      await queueHandle.close()
      return isSettled
    },
  }
}
