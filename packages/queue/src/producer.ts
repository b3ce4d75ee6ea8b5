import { Batcher, type Deadline } from '@persona-ingest/core'
import type { Delivery } from './delivery.ts'
import { eventJobId, jobKeys, newJob, newSingleJob } from './job-data.ts'
import { onQueue, openQueue, type QueueHandle, requireConnection, untilConnected } from './queue-connection.ts'

import { createQueueView, type QueueView } from './queue-view.ts'
import { queueUnavailable, QueueUnavailableError } from './errors.ts'

export type ProducerOptions = {
  /** `redis://` or `rediss://`. */
  readonly redisUrl: string
  /** First part of all Redis keys; default `bull`. */
  readonly prefix?: string | undefined
  /**
   * Longest wait for an answer to `probe`, `counts`, `enqueueReplays` and the like, in ms; default 3000. An enqueue has
   * the deadline that its caller gives. Redis is connected to anew after a silence of 2 s more.
   */
  readonly deadlineMs?: number | undefined
  /** Keys that bodies are encrypted with in Redis; see {@link KeyRing}. Empty: bodies are not encrypted. */
  readonly encryptionKeys: readonly string[]
  /** Whether jobs get spans of OpenTelemetry, which the process has started. */
  readonly isTraced?: boolean | undefined
  /**
   * Is told once that the first Redis which answered refuses what `redisUrl` selects. Nothing is ever put into another
   * database, and no retry helps: the process should end. A refusal after that is an outage.
   */
  readonly onUnusable?: ((error: QueueUnavailableError) => void) | undefined
  /** Hears of every trouble with the connection; called often during an outage. Holds no payload. */
  readonly onError?: ((error: Error) => void) | undefined
}

/** Puts deliveries into the queue. Fails fast; recovers by itself. */
export interface Producer extends QueueView {
  /**
   * Resolves once Redis has confirmed the job, which with `appendfsync always` means that it is on disk.
   *
   * Deliveries that arrive while an enqueue is in flight share the next job. One whose own job is in the queue adds
   * nothing; one that is part of another job is there twice then, and storing it twice changes nothing.
   *
   * `deadline`: that of {@link withDeadline}, which ends the caller's wait. A delivery that waits for the connection or its
   * batch when the deadline is exceeded is never written: `QUEUE_TOO_SLOW`. One that is on its way to Redis then settles
   * with the answer of Redis, late. Rejects with a `QueueUnavailableError`, after which the delivery may be in the queue
   * all the same, or with a `RangeError` for an event id that no job can have.
   */
  enqueue(delivery: Delivery, deadline: Deadline): Promise<void>
  /**
   * Asks for events of the log to be processed again; resolves once Redis has confirmed. Safe to repeat: one that is
   * asked for already adds nothing. Rejects as `enqueue` does; some may be in the queue all the same then.
   */
  enqueueReplays(eventIds: readonly string[]): Promise<void>
  /** Which of these replays are still in the queue, held ones too: asked for, and not settled yet. */
  queuedReplays(eventIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Whether there is a connection right now. */
  isReady(): boolean
  /** Closes the connection at once; what has not been confirmed yet rejects. */
  close(): Promise<void>
}

/** Two, so that Redis has the next job at hand while it syncs the last; measured no better with more. */
const MAX_JOBS_IN_FLIGHT = 2
/** The worker takes a job as a whole: it must stay small against what a worker has in flight. */
const MAX_DELIVERIES = 50
/** Of bodies, per job; one larger delivery travels alone. */
const MAX_BYTES = 1_000_000

type Enqueued = { readonly key: string; readonly delivery: Delivery }

/** Deliveries that arrive while jobs are in flight share the next: a job costs the same whatever its size. */
function batcherOf(handle: QueueHandle): Batcher<Enqueued, void> {
  return new Batcher({
    keyOf: ({ key }) => key,
    maxInFlight: MAX_JOBS_IN_FLIGHT,
    maxItems: MAX_DELIVERIES,
    limits: [{ sizeOf: ({ delivery }) => delivery.body.byteLength, max: MAX_BYTES }],
    async process(batch, report) {
      requireConnection(handle)
      const deliveries = batch.map(({ delivery }) => delivery)
      const { name, data, opts } = newJob(deliveries, await jobKeys(handle, deliveries))
      await handle.queue.add(name, data, opts)
      for (const { key } of batch) report(key)
    },
  })
}

/** Makes a producer. Returns at once, and never throws because Redis is away: it connects in the background. */
export function createProducer(options: ProducerOptions): Producer {
  const handle = openQueue({ ...options, deadlineMs: options.deadlineMs ?? 3000 })
  const batcher = batcherOf(handle)
  let quarantined = 0
  return {
    ...createQueueView(handle),
    async enqueue(delivery, deadline) {
      // Rejects an unusable id before other deliveries share a job with it. Equal unusable bodies need not share a place.
      const key = delivery.kind === 'event' ? eventJobId(delivery) : `q${(quarantined += 1)}`
      try {
        if (!handle.isConnected()) await untilConnected(handle, deadline)
        await batcher.add({ key, delivery }, deadline.signal)
      } catch (error) {
        throw error === deadline.signal.reason ? new QueueUnavailableError('QUEUE_TOO_SLOW') : queueUnavailable(error)
      }
    },
    async enqueueReplays(eventIds) {
      const jobs = eventIds.map((eventId) =>
        newSingleJob({ kind: 'replay', eventId }, { attemptsMade: 0, delayMs: 0 }, { ...handle, fallbackKey: null }),
      )
      if (jobs.length > 0) await onQueue(handle, async () => await handle.queue.addBulk(jobs))
    },
    queuedReplays: async (eventIds) => await queuedReplays(handle, eventIds),
    isReady: handle.isConnected,
    close: handle.close,
  }
}

/** See `Producer.queuedReplays`. A settled job leaves Redis, so its key tells. */
export async function queuedReplays(handle: QueueHandle, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
  const { queue, client } = handle
  const found = await onQueue(handle, async () =>
    Promise.all(eventIds.map(async (eventId) => client.exists(queue.toKey(eventJobId({ kind: 'replay', eventId }))))),
  )
  return new Set(eventIds.filter((_, index) => found[index] === 1))
}
