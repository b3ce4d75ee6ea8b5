import { DelayedError, WaitingError, Worker, type Job, type WorkerOptions } from 'bullmq'
import { setTimeout as pause } from 'node:timers/promises'
import { sizeOfJob } from './job-data.ts'

/** Thrown by the processor to use up one attempt. Its message is kept in Redis. */
export class AttemptFailed extends Error {
  override readonly name = 'AttemptFailed'
}

/** Longest a fetch waits for a delivery, in seconds; a connection silent for longer is a dead one. */
const MAX_BLOCK_SECONDS = 5

/** Pause after a refused fetch, without which BullMQ asks again at once, for ever. */
const REFUSED_FETCH_PAUSE_MS = 500

/** A BullMQ worker that knows what it holds, and in which only the processor's own word costs an attempt. */
export class HeldWorker extends Worker {
  readonly #held = new Set<Job>()
  readonly #limit: number
  #heldDeliveries = 0
  #lastSettledAtMs = Date.now()

  constructor(name: string, processor: (job: Job, token: string) => Promise<void>, options: WorkerOptions) {
    super(name, async (job, token = '') => await processor(job, token), options)
    this.#limit = options.concurrency ?? 1
  }

  /** Deliveries of jobs between their arrival here and Redis' confirmation of what became of them. */
  get heldCount(): number {
    return this.#heldDeliveries
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
    if (job !== undefined) this.#hold(job)
    return job
  }

  override async processJob(...args: Parameters<Worker['processJob']>): ReturnType<Worker['processJob']> {
    const [job] = args
    try {
      return await super.processJob(...args)
    } finally {
      this.#letGo(job)
      this.#lastSettledAtMs = Date.now()
    }
  }

  #hold(job: Job): void {
    this.#held.add(job)
    this.#heldDeliveries += sizeOfJob(job.id ?? '')
    this.#limitJobs()
  }

  #letGo(job: Job): void {
    if (!this.#held.delete(job)) return
    this.#heldDeliveries -= sizeOfJob(job.id ?? '')
    this.#limitJobs()
  }

  /** BullMQ counts jobs, the limit deliveries: a full worker takes a further job only as one of the usual size leaves. */
  #limitJobs(): void {
    const jobs = this.#held.size
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
