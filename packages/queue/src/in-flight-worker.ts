import type { Job, WorkerOptions } from 'bullmq'
import { setTimeout as pause } from 'node:timers/promises'
import { PatchedWorker } from './bullmq-quirks.ts'
import { sizeOfJob } from './job-data.ts'
import type { WorkerConnection } from './queue-connection.ts'

/** Size that is assumed of a job before one was seen: the ingress' body limit of 2 MiB, encrypted. */
const ASSUMED_JOB_BYTES = 2_900_000

type InFlightWorkerOptions = WorkerOptions & {
  readonly maxInFlightBytes: number
  /** How long the lock of a job lives that its worker does not renew, in ms; default 10,000. */
  readonly lockDurationMs?: number | undefined
  /** How often jobs of dead processes are looked for, in ms; default 5000. */
  readonly stalledIntervalMs?: number | undefined
}

/** BullMQ's worker, with bounds on the deliveries and the bytes in flight. */
export class InFlightWorker extends PatchedWorker {
  /** The jobs in flight, each with the size of its data. */
  readonly #jobs = new Map<Job, number>()
  readonly #maxDeliveries: number
  readonly #maxBytes: number
  #deliveries = 0
  #bytes = 0
  /** Fetches under way. BullMQ brings a job whole, so that its size is known only afterwards. */
  #fetches = 0
  /**
   * Assumed of the next job: the largest seen, half of the limit at most. Otherwise no job would fit beside another one
   * any more after a job larger than the limit.
   */
  #assumedBytes = ASSUMED_JOB_BYTES
  #lastFinishedAtMs = Date.now()

  constructor(name: string, processor: (job: Job, token: string) => Promise<void>, options: InFlightWorkerOptions) {
    const { maxInFlightBytes, lockDurationMs = 10_000, stalledIntervalMs = 5000, ...workerOptions } = options
    super(name, async (job, token = '') => await processor(job, token), {
      ...workerOptions,
      autorun: false,
      lockDuration: lockDurationMs,
      stalledInterval: stalledIntervalMs,
      // BullMQ's default of 1 gives a job up when its process was killed twice.
      maxStalledCount: 1_000_000,
      // How soon an outcome is tried again when the connection broke; BullMQ's 15 s would outlast the lock.
      runRetryDelay: 1000,
    })
    this.#maxDeliveries = options.concurrency ?? 1
    this.#maxBytes = maxInFlightBytes
  }

  /** Deliveries of jobs between their arrival here and Redis' confirmation of their outcome. */
  get inFlightCount(): number {
    return this.#deliveries
  }

  /** Size of the data of these jobs, in characters as Redis holds it. */
  get inFlightBytes(): number {
    return this.#bytes
  }

  /** When this worker last finished a job, in ms since 1970; its start if never. */
  get lastFinishedAtMs(): number {
    return this.#lastFinishedAtMs
  }

  protected override jobArrived(job: Job, length: number): void {
    this.#jobs.set(job, length)
    this.#bytes += length
    this.#assumedBytes = Math.max(this.#assumedBytes, Math.min(length, this.#maxBytes / 2))
    this.#deliveries += sizeOfJob(job.id ?? '')
    this.#limitJobs()
  }

  protected override mayFetch(leaving: Job): boolean {
    if (!this.#hasRoomBeside(leaving)) return false
    this.#fetches += 1
    return true
  }

  protected override jobLeft(job: Job, hasFetched: boolean): void {
    if (hasFetched) this.#fetches -= 1
    this.#lastFinishedAtMs = Date.now()
    const bytes = this.#jobs.get(job)
    if (bytes === undefined) return
    this.#jobs.delete(job)
    this.#bytes -= bytes
    this.#deliveries -= sizeOfJob(job.id ?? '')
    this.#limitJobs()
  }

  /** Whether one more job of the assumed size fits, in the place of one that leaves. A job alone always fits. */
  #hasRoomBeside(leaving: Job | null): boolean {
    const leavingBytes = leaving === null ? undefined : this.#jobs.get(leaving)
    const bytes = this.#bytes - (leavingBytes ?? 0)
    const others = this.#jobs.size - (leavingBytes === undefined ? 0 : 1) + this.#fetches
    return others === 0 || bytes + (this.#fetches + 1) * this.#assumedBytes <= this.#maxBytes
  }

  /**
   * Sets the number of jobs that BullMQ may have in flight, since the limits are of deliveries and bytes. A full worker
   * takes a further job only as one of the usual size leaves. BullMQ's main loop fetches one job after the other, so that
   * the number is set anew after each.
   */
  #limitJobs(): void {
    const jobs = this.#jobs.size
    if (!this.#hasRoomBeside(null)) {
      this.concurrency = Math.max(1, jobs)
      return
    }
    const usualSize = this.#deliveries / Math.max(1, jobs)
    if (this.#deliveries < this.#maxDeliveries) this.concurrency = this.#maxDeliveries
    else this.concurrency = Math.max(1, this.#deliveries - usualSize < this.#maxDeliveries ? jobs : jobs - 1)
  }
}

const POLL_MS = 20
/** With nothing in flight: time for a fetch under way to bring its job, and for BullMQ to end. */
const IDLE_GRACE_MS = 1500

/**
 * Stops a worker from taking, waits for what it has in flight, `timeoutMs` at most, and ends its connections.
 *
 * BullMQ's own graceful close waits without end for a Redis that is away or frozen, and can't be forced once it has begun.
 * Returns whether everything in flight was finished. Never rejects.
 */
export async function closeWorker(options: {
  worker: InFlightWorker
  connection: WorkerConnection
  timeoutMs: number
  onError: (error: unknown) => void
}): Promise<boolean> {
  const { worker, connection } = options
  const graceful = { isOver: false }
  worker
    .close()
    .catch(options.onError)
    .finally(() => {
      graceful.isOver = true
    })
  const endsAt = performance.now() + options.timeoutMs
  let lastBusyAt = performance.now()
  while (!graceful.isOver && performance.now() < endsAt) {
    if (worker.inFlightCount > 0) lastBusyAt = performance.now()
    if (performance.now() - lastBusyAt > IDLE_GRACE_MS) break
    await pause(POLL_MS)
  }
  const isFinished = worker.inFlightCount === 0
  connection.disconnect()
  await worker.stopLockRenewal()
  return isFinished
}
