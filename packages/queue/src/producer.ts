import { Batcher, type Deadline } from '@persona-ingest/core'
import type { Delivery } from './delivery.ts'
import { queueUnavailable, type QueueUnavailableError } from './errors.ts'
import { eventJobId, jobKeys, newJob, newSingleJob } from './job-data.ts'
import { onQueue, openQueue, requireConnection, untilConnected, type QueueConnection } from './queue-connection.ts'
import { createQueueView, type QueueView } from './queue-view.ts'

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
  /** Keys that bodies are encrypted with in Redis, as {@link KeyRing} takes them. Empty: bodies are not encrypted. */
  readonly encryptionKeys: readonly string[]
  /** Whether jobs get spans of OpenTelemetry, which the process has started. */
  readonly isTraced?: boolean | undefined
  /**
   * Called once, where the first Redis that answered refuses the database of `redisUrl`. Nothing is ever put into another
   * database, and no retry helps: the process should end. A refusal after that is an outage.
   */
  readonly onUnusable?: ((error: QueueUnavailableError) => void) | undefined
  /** Called for every error of the connection, often during an outage. An error has no payload. */
  readonly onError?: ((error: Error) => void) | undefined
}

/** Puts deliveries into the queue. It fails fast, and recovers by itself. */
export interface Producer extends QueueView {
  /**
   * Resolves once Redis has confirmed the job, which with `appendfsync always` means that it is on disk.
   *
   * Deliveries that arrive while an enqueue is in flight share the next job. One whose own job is in the queue adds
   * nothing; one that is part of another job is there twice then, and storing it twice changes nothing.
   *
   * `deadline`: that of {@link withDeadline}, which ends the caller's wait. A delivery that waits for the connection or its
   * batch when the deadline is exceeded is never written: `QUEUE_TOO_SLOW`. One that is on its way to Redis then gets
   * the answer of Redis, late. Rejects with a `QueueUnavailableError`, after which the delivery may be in the queue
   * all the same, or with a `RangeError` for an event id that no job can have.
   */
  enqueue(delivery: Delivery, deadline: Deadline): Promise<void>
  /**
   * Asks for events of the log to be processed again; resolves once Redis has confirmed. An event that is asked for already
   * adds nothing. Rejects with a `QueueUnavailableError` within `deadlineMs`; some may be in the queue all the same then.
   */
  enqueueReplays(eventIds: readonly string[]): Promise<void>
  /** Gives those of these replays that are in the queue, in flight or not: asked for, and not finished. */
  queuedReplays(eventIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Whether there is a connection right now. */
  isReady(): boolean
  /** Ends the connection at once; enqueues that are not confirmed reject. */
  close(): Promise<void>
}

/** Two, so that Redis has the next job at hand while it syncs the last; measured no better with more. */
const MAX_JOBS_IN_FLIGHT = 2
/** The worker takes a job as a whole: it must stay small against what a worker has in flight. */
const MAX_DELIVERIES = 50
/** Of bodies, per job; a larger delivery has a job of its own. */
const MAX_BYTES = 1_000_000

type Enqueued = { readonly key: string; readonly delivery: Delivery }

/** Deliveries that arrive while jobs are in flight share the next one: a job costs about the same whatever its size. */
function newBatcher(connection: QueueConnection): Batcher<Enqueued, void> {
  return new Batcher({
    keyOf: ({ key }) => key,
    maxInFlight: MAX_JOBS_IN_FLIGHT,
    maxItems: MAX_DELIVERIES,
    limits: [{ sizeOf: ({ delivery }) => delivery.body.byteLength, max: MAX_BYTES }],
    async process(batch, report) {
      requireConnection(connection)
      const deliveries = batch.map(({ delivery }) => delivery)
      const { name, data, opts } = newJob(deliveries, await jobKeys(connection, deliveries))
      await connection.queue.add(name, data, opts)
      for (const { key } of batch) report(key)
    },
  })
}

async function queuedReplays(connection: QueueConnection, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
  const { queue, client } = connection
  const keyOf = (eventId: string) => queue.toKey(eventJobId({ kind: 'replay', eventId }))
  // A finished job leaves Redis, so that the existence of its key tells.
  const exists = async () => Promise.all(eventIds.map(async (eventId) => client.exists(keyOf(eventId))))
  const found = await onQueue(connection, exists)
  return new Set(eventIds.filter((_, index) => found[index] === 1))
}

/** Makes a producer. Returns at once, and never throws because Redis is away: it connects in the background. */
export function createProducer(options: ProducerOptions): Producer {
  const connection = openQueue({ ...options, deadlineMs: options.deadlineMs ?? 3000 })
  const batcher = newBatcher(connection)
  let quarantinedCount = 0
  return {
    ...createQueueView(connection),
    async enqueue(delivery, deadline) {
      // An id that no job can have is rejected before other deliveries share a job with it. Equal quarantined bodies may
      // share one: their own jobs have equal ids.
      const key = delivery.kind === 'event' ? eventJobId(delivery) : `q${(quarantinedCount += 1)}`
      try {
        if (!connection.isConnected()) await untilConnected(connection, deadline)
        await batcher.add({ key, delivery }, deadline)
      } catch (error) {
        throw queueUnavailable(error)
      }
    },
    async enqueueReplays(eventIds) {
      const jobs = eventIds.map((eventId) =>
        newSingleJob(
          { kind: 'replay', eventId },
          { attemptsMade: 0, delayMs: 0 },
          { ...connection, fallbackKey: null },
        ),
      )
      if (jobs.length > 0) await onQueue(connection, async () => await connection.queue.addBulk(jobs))
    },
    queuedReplays: async (eventIds) => await queuedReplays(connection, eventIds),
    isReady: connection.isConnected,
    close: connection.close,
  }
}
