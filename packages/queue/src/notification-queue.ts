import type { Job } from 'bullmq'
import { redisFault, type QueueUnavailableError } from './errors.ts'
import { requeueJob } from './finish-job.ts'
import { closeWorker, InFlightWorker } from './in-flight-worker.ts'
import { commonQueueOptions, onQueue, openQueue, openWorkerConnection } from './queue-connection.ts'

/** First part of all Redis keys of notifications: never that of the queue that takes deliveries. */
const PREFIX = 'persona:notify'

export type NotificationQueueOptions = {
  /** `redis://` or `rediss://`. */
  readonly redisUrl: string
  /** First part of all Redis keys; default `persona:notify`. */
  readonly prefix?: string | undefined
  /** Name of the consumer, which is that of the queue; without a colon. */
  readonly consumer: string
  /** Objects that are sent at once. */
  readonly concurrency: number
  /** Sends what is due of an object. A rejection is reported, and the object leaves the queue all the same. */
  readonly send: (objectId: string) => Promise<void>
  /** Called for every error of Redis, for lost locks and for a `send` that threw. */
  readonly onError?: ((error: Error) => void) | undefined
  /** Called once, where the first Redis that answered refuses the database of `redisUrl`; the process should end. */
  readonly onUnusable?: ((error: QueueUnavailableError) => void) | undefined
  /** Longest wait for an answer to `add`, `probe` and `count`, in ms; default 3000. */
  readonly deadlineMs?: number | undefined
  /** How long the lock of a job lives that its worker does not renew, in ms; default 10,000. */
  readonly lockDurationMs?: number | undefined
  /** How often jobs of dead processes are looked for, in ms; default 5000. */
  readonly stalledIntervalMs?: number | undefined
}

/**
 * Objects that are to be sent now. A job holds the id of an object and nothing else: what is sent is read when it runs, so
 * that nothing is lost with Redis, and jobs that are missing are added again.
 */
export interface NotificationQueue {
  /** Starts taking; while Redis is away it waits. */
  start(): void
  /**
   * Adds objects; resolves once Redis has confirmed. One that waits already adds nothing; one that is being sent is sent
   * once more after that. Rejects with a `QueueUnavailableError`, after which some may have been added.
   */
  add(objectIds: readonly string[]): Promise<void>
  /**
   * Lets objects be added although a job stands for them that is lost: where Redis drops single keys, its list may be gone
   * and its mark stay. Rejects with a `QueueUnavailableError`.
   */
  forget(objectIds: readonly string[]): Promise<void>
  /** Counts the objects that wait or are being sent. Rejects with a `QueueUnavailableError`. */
  count(): Promise<number>
  /** Writes a tiny key that expires by itself; rejects when Redis is away, too slow or refuses writes. */
  probe(): Promise<void>
  /** Objects that this process sends right now. */
  inFlightCount(): number
  /** Stops taking, waits for what is in flight (`timeoutMs` at most), closes. Resolves to whether all was finished. */
  close(options: { timeoutMs: number }): Promise<boolean>
}

function newJob(objectId: string) {
  return {
    name: 'object',
    data: { objectId },
    opts: {
      // One job per object. With `keepLastIfActive` an object that changes while it is sent gets the next job.
      deduplication: { id: objectId, keepLastIfActive: true },
      removeOnComplete: true,
      removeOnFail: true,
    },
  }
}

function objectIdOf(job: Job): string | null {
  const { objectId } = (job.data ?? {}) as { readonly objectId?: unknown }
  return typeof objectId === 'string' ? objectId : null
}

/** Opens the queue of a consumer's notifications. Returns at once, also while Redis is away, and takes nothing before `start`. */
export function createNotificationQueue(options: NotificationQueueOptions): NotificationQueue {
  const { consumer: name, prefix = PREFIX, deadlineMs = 3000, send } = options
  const onError = (thrown: unknown) => options.onError?.(redisFault(thrown))
  const state = { isClosing: false }
  const connection = openQueue({ ...options, name, prefix, deadlineMs, encryptionKeys: [] })
  const workerConnection = openWorkerConnection(options.redisUrl, connection.noteRefused)
  const common = commonQueueOptions({ name, prefix })
  const process = async (job: Job, token: string): Promise<void> => {
    if (state.isClosing) return await requeueJob(job, token, { delayMs: 0, onError })
    const objectId = objectIdOf(job)
    if (objectId === null) return
    try {
      await send(objectId)
    } catch (error) {
      onError(error)
    }
  }
  const worker = new InFlightWorker(common.name, process, {
    ...common.options,
    connection: workerConnection.client,
    concurrency: options.concurrency,
    maxInFlightBytes: Number.POSITIVE_INFINITY,
    lockDurationMs: options.lockDurationMs,
    stalledIntervalMs: options.stalledIntervalMs,
  })
  worker.on('error', onError)
  let closed: Promise<boolean> | undefined
  return {
    start() {
      worker.run().catch(onError)
    },
    async add(objectIds) {
      if (objectIds.length === 0) return
      await onQueue(connection, async () => await connection.queue.addBulk(objectIds.map(newJob)))
    },
    count: async () =>
      await onQueue(connection, async () => await connection.queue.getJobCountByTypes('wait', 'active')),
    async forget(objectIds) {
      if (objectIds.length === 0) return
      const { queue } = connection
      await onQueue(connection, async () => await Promise.all(objectIds.map((id) => queue.removeDeduplicationKey(id))))
    },
    async probe() {
      const probeKey = `${connection.queue.toKey('')}probe`
      await onQueue(connection, async () => await connection.client.set(probeKey, '1', 'PX', 10_000))
    },
    inFlightCount: () => worker.inFlightCount,
    async close({ timeoutMs }) {
      state.isClosing = true
      closed ??= closeWorker({ worker, connection: workerConnection, timeoutMs, onError })
      const isFinished = await closed
      await connection.close()
      return isFinished
    },
  }
}
