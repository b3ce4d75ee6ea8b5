import type { Job } from 'bullmq'
import { createHash } from 'node:crypto'
import type { Delivery, DeliveryOutcome, InFlightDelivery } from './delivery.ts'
import { rewriteBodies } from './finish-job.ts'
import { readJob, readJobData, withBodies } from './job-data.ts'
import { onQueue, type QueueConnection } from './queue-connection.ts'
import { readRestraint } from './queue-view.ts'

/** Job ids that are read at once. */
const IDS_AT_ONCE = 100
/** One job that can't be reduced must not keep the others; so many in a row are an outage. */
const MAX_FAILURES_IN_A_ROW = 10

type ReduceQueuedOptions = {
  readonly connection: QueueConnection
  readonly reduce: (delivery: Delivery) => Promise<Uint8Array | null>
  readonly onError: (error: unknown) => void
}

/** Replaces the data of a job only where it is still what was read: the job may be gone, or be another of that id. */
const replaceData = `
local data = redis.call('HGET', KEYS[1], 'data')
if not data or redis.sha1hex(data) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'data', ARGV[2])
return 1`

async function reduceJob({ connection, reduce }: ReduceQueuedOptions, jobId: string): Promise<boolean> {
  const { client, queue, keys } = connection
  const key = queue.toKey(jobId)
  const text = await onQueue(connection, async () => await client.hget(key, 'data'))
  // It was taken and finished meanwhile.
  if (text === null) return false
  const data = JSON.parse(text) as unknown
  const read = readJobData(data, keys)
  // It waits for a program that can read it.
  if ('unreadable' in read) return false
  const bodies: (Uint8Array | undefined)[] = []
  for (const { delivery } of read.deliveries) {
    const body = delivery.kind === 'replay' ? null : await reduce(delivery)
    bodies.push(body ?? undefined)
  }
  if (bodies.every((body) => body === undefined)) return false
  const reduced = withBodies(data, bodies, keys)
  if (reduced === null) return false
  const digest = createHash('sha1').update(text).digest('hex')
  const replace = async () => await client.eval(replaceData, 1, key, digest, JSON.stringify(reduced))
  return (await onQueue(connection, replace)) === 1
}

/** Gives the job ids in a list or sorted set. New jobs come to the left of a list, so that no id is passed over. */
async function* jobIdsIn({ connection }: ReduceQueuedOptions, state: string, type: 'list' | 'set') {
  const { client, queue } = connection
  for (let start = 0; ; start += IDS_AT_ONCE) {
    const key = queue.toKey(state)
    const [from, to] = [String(start), String(start + IDS_AT_ONCE - 1)] as const
    const page = async () => await (type === 'list' ? client.lrange(key, from, to) : client.zrange(key, from, to))
    const jobIds = await onQueue(connection, page)
    yield* jobIds
    if (jobIds.length < IDS_AT_ONCE) return
  }
}

/** In the order in which jobs move, so that a job that moves meanwhile is met in the next state. */
const DELAYED = [['delayed', 'set']] as const
const KEPT_WHILE_PAUSED = [['prioritized', 'set'], ['paused', 'list'], ['wait', 'list'], ['active', 'list']] as const // prettier-ignore

/** See `Consumer.reduceQueued`. */
export async function reduceQueued(options: ReduceQueuedOptions): Promise<number> {
  const isPaused = (await readRestraint(options.connection)) === 'paused'
  let reduced = 0
  let failuresInARow = 0
  let firstFailure: { readonly error: unknown } | null = null
  for (const [state, type] of isPaused ? [...DELAYED, ...KEPT_WHILE_PAUSED] : DELAYED) {
    for await (const jobId of jobIdsIn(options, state, type)) {
      try {
        if (await reduceJob(options, jobId)) reduced += 1
        failuresInARow = 0
      } catch (error) {
        failuresInARow += 1
        if (failuresInARow >= MAX_FAILURES_IN_A_ROW) throw error
        options.onError(error)
        firstFailure ??= { error }
      }
    }
  }
  // The caller repeats the pass: a job that failed has an unreduced body, and may be delayed for long.
  if (firstFailure !== null) throw firstFailure.error
  return reduced
}

/** Failed jobs per sweep; the others come with the next. */
const SWEEP_SIZE = 50

/** See `Consumer.sweepFailed`. */
export async function sweepFailed(options: {
  readonly connection: QueueConnection
  readonly handle: (delivery: InFlightDelivery, reason: string) => Promise<DeliveryOutcome>
  readonly onError: (error: unknown) => void
}): Promise<number> {
  const { queue, keys } = options.connection
  const ask = async <T>(question: () => Promise<T>) => await onQueue(options.connection, question)
  // Without this question, each sweep would cost a script call on every worker for a set that is nearly always empty.
  const failedCount = await ask(async () => await queue.getFailedCount())
  if (failedCount === 0) return 0
  const jobIds = await ask(async () => await queue.getRanges(['failed'], 0, SWEEP_SIZE - 1))

  let removed = 0
  for (const jobId of jobIds) {
    // One after the other: no more than one of them is in memory.
    const job: Job | undefined = await ask(async () => await queue.getJob(jobId))
    // Another worker may have swept it between the question and the answer.
    if (job === undefined) continue
    const read = readJob(job, keys)
    try {
      if ('unreadable' in read || read.undecryptable.length > 0) {
        // Back to waiting, where a consumer reports it and delays what it can't read.
        await ask(async () => await job.retry('failed'))
        continue
      }
      const outcomes: DeliveryOutcome[] = []
      for (const each of read.deliveries) outcomes.push(await options.handle(each, job.failedReason ?? ''))
      await ask(async () => await rewriteBodies(job, outcomes, keys))
      if (outcomes.some(({ action }) => action !== 'ack')) continue
      await ask(async () => await job.remove())
      removed += 1
    } catch (error) {
      // It stays where it is; one job that can't be swept must not keep the others.
      options.onError(error)
    }
  }
  return removed
}

/** Jobs moved at once: some milliseconds of Redis' time. */
const MOVED_AT_ONCE = 5000

/**
 * Moves jobs from the list of a paused queue to the waiting list, in their order and before what came later.
 *
 * Dashboards with BullMQ below 6 rename the waiting list while a queue is paused. On resuming they rename it back, over all
 * that BullMQ 6 has added to the waiting list meanwhile. They do not rename an empty list.
 */
const takeBackPausedJobs = `
for _ = 1, tonumber(ARGV[1]) do
  if not redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') then return 0 end
end
return 1`

/** See `Consumer.takeBackPaused`. */
export async function takeBackPaused(connection: QueueConnection): Promise<void> {
  const { client, queue } = connection
  const keys = [queue.toKey('paused'), queue.toKey('wait')]
  const move = async () => await client.eval(takeBackPausedJobs, 2, ...keys, MOVED_AT_ONCE)
  while ((await onQueue(connection, move)) === 1);
}
