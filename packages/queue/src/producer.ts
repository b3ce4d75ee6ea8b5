import type { Delivery } from './delivery.ts'
import { EnqueueGroups } from './enqueue-groups.ts'
import { eventJobId } from './job-data.ts'
import { jobKeys } from './job-keys.ts'
import { newJob, newSingleJob } from './new-job.ts'
import { onQueue, openQueue } from './queue-handle.ts'
import { queuedReplays } from './queued-replays.ts'
import { createQueueView, type QueueView } from './queue-view.ts'
import type { QueueUnavailableError } from './queue-unavailable-error.ts'

export type ProducerOptions = {
  /** `redis://` or `rediss://`. */
  readonly redisUrl: string
  /** First part of all Redis keys; default `bull`. */
  readonly prefix?: string | undefined
  /** Longest wait for Redis, in ms; default 3000. */
  readonly enqueueDeadlineMs?: number | undefined
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
   * Resolves once Redis has confirmed the job, which with `appendfsync always` means: once it is on disk.
   *
   * Deliveries that arrive while an enqueue is under way share a job. One whose own job is in the queue already adds
   * nothing; one that is part of another job is there twice then, which storing makes good. Rejects with a
   * `QueueUnavailableError` within the deadline; the delivery may be in the queue all the same then.
   */
  enqueue(delivery: Delivery): Promise<void>
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

/** Makes a producer. Returns at once, and never throws because Redis is away: it connects in the background. */
export function createProducer(options: ProducerOptions): Producer {
  const handle = openQueue({ ...options, deadlineMs: options.enqueueDeadlineMs ?? 3000 })
  const groups = new EnqueueGroups({
    deadlineMs: handle.deadlineMs,
    write: async (deliveries) => {
      await onQueue(handle, async () => {
        const { name, data, opts } = newJob(deliveries, await jobKeys(handle, deliveries))
        return await handle.queue.add(name, data, opts)
      })
    },
  })
  return {
    ...createQueueView(handle),
    async enqueue(delivery) {
      // Throws before anybody else shares a job with it.
      if (delivery.kind === 'event') eventJobId(delivery)
      await groups.add(delivery)
    },
    async enqueueReplays(eventIds) {
      const jobs = eventIds.map((eventId) =>
        newSingleJob({ kind: 'replay', eventId }, { attemptsMade: 0, delayMs: 0 }, { ...handle, fallbackKey: null }),
      )
      if (jobs.length > 0) await onQueue(handle, async () => await handle.queue.addBulk(jobs))
    },
    queuedReplays: async (eventIds) => await queuedReplays(handle, eventIds),
    isReady: () => handle.client.status === 'ready',
    close: handle.close,
  }
}
