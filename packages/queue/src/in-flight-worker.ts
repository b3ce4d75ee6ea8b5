import { DelayedError, WaitingError, Worker, type Job, type WorkerOptions } from 'bullmq'
import { setTimeout as pause } from 'node:timers/promises'
import { sizeOfJob } from './job-data.ts'

import type { PatientConnection } from './queue-connection.ts'

/** Thrown by the processor to use up one attempt. Its message is kept in Redis. */
export class AttemptFailed extends Error {
  override readonly name = 'AttemptFailed'
}

/** Longest a fetch waits for a delivery, in seconds; a connection silent for longer is a dead one. */
const MAX_BLOCK_SECONDS = 5

/** Pause after a refused fetch, without which BullMQ asks again at once, for ever. */
const REFUSED_FETCH_PAUSE_MS = 500

/** The characters of a job's data, as Redis brought it. */
function sizeOfData(raw: unknown): number {
  const data = (raw as { readonly data?: unknown } | undefined)?.data
  return typeof data === 'string' ? data.length : 0
}

/** A job may be as large as this before one was seen: the ingress' body limit of 2 MiB, encrypted. */
const ASSUMED_JOB_BYTES = 2_900_000

/** A BullMQ worker that knows what it holds, and in which only the processor's own word costs an attempt. */
export class HeldWorker extends Worker {
  /** The jobs held, each with the size of its data. */
  readonly #held = new Map<Job, number>()
  readonly #limit: number
  readonly #maxBytes: number
  #heldDeliveries = 0
  #heldBytes = 0
  /** Fetches under way. BullMQ brings a job whole, so that its size is known only afterwards. */
  #fetches = 0
  /**
   * Assumed of the next job: the largest seen, half of the limit at most. Otherwise no job would fit beside another one
   * any more after a job larger than the limit.
   */
  #largestBytes = ASSUMED_JOB_BYTES
  #lastSettledAtMs = Date.now()

  constructor(
    name: string,
    processor: (job: Job, token: string) => Promise<void>,
    options: WorkerOptions & { readonly maxHeldBytes: number },
  ) {
    const { maxHeldBytes, ...workerOptions } = options
    super(name, async (job, token = '') => await processor(job, token), workerOptions)
    this.#limit = options.concurrency ?? 1
    this.#maxBytes = maxHeldBytes
  }

  /** Deliveries of jobs between their arrival here and Redis' confirmation of what became of them. */
  get heldCount(): number {
    return this.#heldDeliveries
  }

  /** Size of the data of these jobs, in characters as Redis holds it. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** When this worker last settled a job, in ms since 1970; its start if never. */
  get lastSettledAtMs(): number {
    return this.#lastSettledAtMs
  }

  /** Lets go of the timers that keep the process alive, for when a graceful close can't come to its end. */
  async abandon(): Promise<void> {
    await this.lockManager.close()
  }

  /** Every job comes through here, whichever way it was fetched; BullMQ fetches several before it begins with one. */
  override async nextJobFromJobData(
    ...args: Parameters<Worker['nextJobFromJobData']>
  ): ReturnType<Worker['nextJobFromJobData']> {
    const job = await super.nextJobFromJobData(...args)
    if (job !== undefined) this.#hold(job, sizeOfData(args[0]))
    return job
  }

  override async processJob(...args: Parameters<Worker['processJob']>): ReturnType<Worker['processJob']> {
    const [job, token, mayFetch = () => true] = args
    let fetches = 0
    const mayFetchNext = () => {
      if (!mayFetch() || (fetches === 0 && !this.#hasRoomBeside(job))) return false
      // BullMQ asks again where it could not settle the job at first.
      if (fetches === 0) this.#fetches += 1
      fetches = 1
      return true
    }
    try {
      return await super.processJob(job, token, mayFetchNext)
    } finally {
      this.#fetches -= fetches
      this.#letGo(job)
      this.#lastSettledAtMs = Date.now()
    }
  }

  #hold(job: Job, bytes: number): void {
    this.#held.set(job, bytes)
    this.#heldBytes += bytes
    this.#largestBytes = Math.max(this.#largestBytes, Math.min(bytes, this.#maxBytes / 2))
    this.#heldDeliveries += sizeOfJob(job.id ?? '')
    this.#limitJobs()
  }

  #letGo(job: Job): void {
    const bytes = this.#held.get(job)
    if (bytes === undefined) return
    this.#held.delete(job)
    this.#heldBytes -= bytes
    this.#heldDeliveries -= sizeOfJob(job.id ?? '')
    this.#limitJobs()
  }

  /** Whether one more job of the assumed size fits, in the place of one that leaves. A job alone always fits. */
  #hasRoomBeside(leaving: Job | null): boolean {
    const isHeld = leaving !== null && this.#held.has(leaving)
    const bytes = this.#heldBytes - (isHeld ? (this.#held.get(leaving) ?? 0) : 0)
    const others = this.#held.size - (isHeld ? 1 : 0) + this.#fetches
    return others === 0 || bytes + (this.#fetches + 1) * this.#largestBytes <= this.#maxBytes
  }

  /**
   * BullMQ counts jobs, the limits deliveries and bytes: a full worker takes a further job only as one of the usual size
   * leaves. Its main loop fetches one job after the other, so that this is asked anew after each.
   */
  #limitJobs(): void {
    const jobs = this.#held.size
    if (!this.#hasRoomBeside(null)) {
      this.concurrency = Math.max(1, jobs)
      return
    }
    const usualSize = this.#heldDeliveries / Math.max(1, jobs)
    if (this.#heldDeliveries < this.#limit) this.concurrency = this.#limit
    else this.concurrency = Math.max(1, this.#heldDeliveries - usualSize < this.#limit ? jobs : jobs - 1)
  }

  /**
   * BullMQ takes an error of its own settling (Redis refused, the lock was lost) for a failure of the job. The job has
   * not failed: it stays as it is, its lock runs out, and the stalled check gives it to somebody else.
   */
  protected override async handleFailed(
    ...args: Parameters<Worker['handleFailed']>
  ): ReturnType<Worker['handleFailed']> {
    const [error] = args
    const isOurWord = error instanceof AttemptFailed || error instanceof DelayedError || error instanceof WaitingError
    if (!isOurWord) throw error
    return await super.handleFailed(...args)
  }

  protected override async moveToActive(
    ...args: Parameters<Worker['moveToActive']>
  ): ReturnType<Worker['moveToActive']> {
    try {
      return await super.moveToActive(...args)
    } catch (error) {
      if (!this.closing) await pause(REFUSED_FETCH_PAUSE_MS)
      throw error
    }
  }

  protected override getBlockTimeout(blockUntil: number): number {
    return Math.min(super.getBlockTimeout(blockUntil), MAX_BLOCK_SECONDS)
  }
}

const POLL_MS = 20
/** Time for a fetch under way to bring its job, or for BullMQ to come to its end, once nothing is held. */
const IDLE_GRACE_MS = 1500

/**
 * Stops a worker from taking, waits for what it holds, `timeoutMs` at most, and lets its connections go.
 *
 * BullMQ's own graceful close waits for ever for a Redis that is away or frozen, and can't be made a forced one once
 * begun. Returns whether everything held was settled. Never rejects.
 */
export async function closeWorker(options: {
  worker: HeldWorker
  connection: PatientConnection
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
    if (worker.heldCount > 0) lastBusyAt = performance.now()
    if (performance.now() - lastBusyAt > IDLE_GRACE_MS) break
    await pause(POLL_MS)
  }
  const isSettled = worker.heldCount === 0
  connection.disconnect()
  await worker.abandon()
  return isSettled
}
