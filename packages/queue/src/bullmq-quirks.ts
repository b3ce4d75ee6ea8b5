/*
 * Every change of the inside of BullMQ, checked on 6.7.0. `test/integration/bullmq-quirks.test.ts` shows what BullMQ does
 * without each.
 */
import { DelayedError, RedisConnection, WaitingError, Worker, type Job, type Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { setTimeout as pause } from 'node:timers/promises'

/**
 * The options with which BullMQ does not ask Redis for its version.
 *
 * BullMQ sends `INFO` once while it starts. Where that one command fails (the connection drops, an ACL forbids it) the
 * `Queue` or `Worker` is unusable for good. Without the question BullMQ assumes its lowest supported version.
 *
 * @see https://github.com/taskforcesh/bullmq/issues/3341
 */
export const noVersionCheck = { skipVersionCheck: true } as const

// Below 6.0.0 a worker could block for whole seconds only; from 7.0.8 on it would block for 1 ms, which Redis 7.0.0 takes
// for "without end". @see https://github.com/redis/redis/pull/11688
RedisConnection.minimumVersion = '7.0.0'

/**
 * Writes the settings of a queue into Redis, for each new connection.
 *
 * BullMQ writes them once, after its first connection; an emptied Redis has lost them. No upstream issue found.
 */
export async function writeQueueSettings(queue: Queue): Promise<void> {
  await queue.getBackend().setQueueMeta(queue.metaValues)
}

/**
 * Collects the copies that BullMQ makes of a connection; `onCopy` is called for each.
 *
 * A worker blocks on a copy and gives no access to it. While Redis is away the copy connects for ever, and keeps the
 * process alive.
 *
 * @see https://github.com/taskforcesh/bullmq/issues/4656
 */
export function collectCopies(client: Redis, onCopy: (copy: Redis) => void): readonly Redis[] {
  const copies: Redis[] = []
  const duplicate = client.duplicate.bind(client)
  client.duplicate = (...args) => {
    const copy = duplicate(...args)
    onCopy(copy)
    copies.push(copy)
    return copy
  }
  return copies
}

/** BullMQ's scripts for taking and keeping jobs, by the name that it gives them. */
const CONSUMING_SCRIPTS = /^(moveToActive|moveStalledJobsToWait|extendLocks):/

/** None of BullMQ's own lists and sets expires; the command suits every type of key. */
const NO_OP_WRITE = "redis.call('PERSIST', KEYS[1])"

/**
 * Lets a consumer take jobs from a Redis that is full of them.
 *
 * Past `maxmemory` Redis refuses a script at the first write that needs memory. BullMQ's fetch begins with such a write, so
 * a consumer that starts then could never make room. Redis lets a script end that has written already: here each begins
 * with a write that changes nothing.
 *
 * @see https://redis.io/docs/latest/develop/programmability/eval-intro/ ("Handling of out of memory")
 * @see https://github.com/taskforcesh/bullmq/issues/3834
 */
export function consumeWithoutMemory(client: Redis): void {
  const defineCommand = client.defineCommand.bind(client)
  client.defineCommand = (name, definition) => {
    const isConsuming = CONSUMING_SCRIPTS.test(name)
    defineCommand(name, isConsuming ? { ...definition, lua: `${NO_OP_WRITE}\n${definition.lua}` } : definition)
  }
}

/** Thrown by the processor of a {@link PatchedWorker} to use up one attempt. Its message is kept in Redis. */
export class AttemptFailed extends Error {
  override readonly name = 'AttemptFailed'
}

/** Longest wait of a fetch, in seconds. A connection that is silent for 8 s is a dead one. */
const MAX_BLOCK_SECONDS = 5

/** Pause after a refused fetch. */
const REFUSED_FETCH_PAUSE_MS = 500

/** The characters of a job's data, as Redis brought it. */
function lengthOfData(raw: unknown): number {
  const data = (raw as { readonly data?: unknown } | undefined)?.data
  return typeof data === 'string' ? data.length : 0
}

/** BullMQ's worker with its overridden methods, and hooks for a subclass that bounds what is in flight. */
export abstract class PatchedWorker extends Worker {
  /** Called when a job has arrived; `length`: characters of its data as Redis holds it. */
  protected abstract jobArrived(job: Job, length: number): void
  /** Called once before the next job is fetched in the place of `leaving`; false: it must not be fetched. */
  protected abstract mayFetch(leaving: Job): boolean
  /** Called when Redis knows the outcome of a job; `hasFetched`: whether `mayFetch` allowed a fetch for it. */
  protected abstract jobLeft(job: Job, hasFetched: boolean): void

  /** Stops the timers of the locks, which keep the process alive where a graceful close does not end (see #4656). */
  async stopLockRenewal(): Promise<void> {
    await this.lockManager.close()
  }

  /**
   * Tells the subclass of a job. Every job passes here, whichever way it was fetched, and BullMQ fetches several before it
   * starts one. BullMQ bounds the number of jobs in flight and not their size.
   *
   * @see https://github.com/taskforcesh/bullmq/issues/3242
   */
  override async nextJobFromJobData(
    ...args: Parameters<Worker['nextJobFromJobData']>
  ): ReturnType<Worker['nextJobFromJobData']> {
    const job = await super.nextJobFromJobData(...args)
    if (job !== undefined) this.jobArrived(job, lengthOfData(args[0]))
    return job
  }

  /** Asks the subclass before the next job is fetched together with the outcome of this one (see #3242). */
  override async processJob(...args: Parameters<Worker['processJob']>): ReturnType<Worker['processJob']> {
    const [job, token, mayFetchNext = () => true] = args
    let isFetching = false
    const mayFetch = () => {
      if (!mayFetchNext()) return false
      // BullMQ asks again where Redis refused the outcome at first.
      isFetching ||= this.mayFetch(job)
      return isFetching
    }
    try {
      return await super.processJob(job, token, mayFetch)
    } finally {
      this.jobLeft(job, isFetching)
    }
  }

  /**
   * Lets only the processor use up an attempt.
   *
   * BullMQ takes its own error while it reports an outcome (Redis refused, the lock was lost) for a failure of the job. The
   * job stays as it is here: its lock runs out, and the stalled check gives it to a worker. No upstream issue found.
   */
  protected override async handleFailed(
    ...args: Parameters<Worker['handleFailed']>
  ): ReturnType<Worker['handleFailed']> {
    const [error] = args
    const isOutcome = error instanceof AttemptFailed || error instanceof DelayedError || error instanceof WaitingError
    if (!isOutcome) throw error
    return await super.handleFailed(...args)
  }

  /** Pauses after a refused fetch, which BullMQ repeats at once and without end. No upstream issue found. */
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

  /** Bounds a fetch: BullMQ blocks for up to 10 s, longer than a silent connection lives. No upstream issue found. */
  protected override getBlockTimeout(blockUntil: number): number {
    return Math.min(super.getBlockTimeout(blockUntil), MAX_BLOCK_SECONDS)
  }
}
