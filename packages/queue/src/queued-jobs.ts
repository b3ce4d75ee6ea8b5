import { createHash } from 'node:crypto'
import type { Delivery, DeliveryOutcome, InFlightDelivery } from './delivery.ts'
import { readJobData, withBodies } from './job-data.ts'
import { onQueue, type QueueHandle } from './queue-connection.ts'
import { readRestraint } from './queue-view.ts'
import type { Job } from 'bullmq'

import { heldDeliveries, rewriteBodies } from './finish-job.ts'

/** Job ids that are read in one go. */
const CHUNK = 100
/** One job that can't be reduced must not keep the others; so many in a row are an outage. */
const MAX_FAILURES_IN_A_ROW = 10

type ReduceQueuedOptions = {
  readonly queueHandle: QueueHandle
  readonly reduce: (delivery: Delivery) => Promise<Uint8Array | null>
  readonly onError: (error: unknown) => void
}

/** Replaces the data of a job only where it is still what was read: the job may be gone, or be another of that id. */
const replaceData = `
local data = redis.call('HGET', KEYS[1], 'data')
if not data or redis.sha1hex(data) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'data', ARGV[2])
return 1`

async function reduceJob({ queueHandle, reduce }: ReduceQueuedOptions, jobId: string): Promise<boolean> {
  const { client, queue, keys } = queueHandle
  const key = queue.toKey(jobId)
  const text = await onQueue(queueHandle, async () => await client.hget(key, 'data'))
  // It was taken and settled meanwhile.
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
  return (await onQueue(queueHandle, replace)) === 1
}

/** Job ids in a list or sorted set, page by page. New jobs come to the left of a list, so that none is passed over. */
async function* jobIdsIn({ queueHandle }: ReduceQueuedOptions, state: string, type: 'list' | 'set') {
  const { client, queue } = queueHandle
  for (let start = 0; ; start += CHUNK) {
    const key = queue.toKey(state)
    const [from, to] = [String(start), String(start + CHUNK - 1)] as const
    const page = async () => await (type === 'list' ? client.lrange(key, from, to) : client.zrange(key, from, to))
    const jobIds = await onQueue(queueHandle, page)
    yield* jobIds
    if (jobIds.length < CHUNK) return
  }
}

/** In the order in which jobs move, so that one that moves meanwhile is met in the next. */
const RESTING = [['delayed', 'set']] as const
const KEPT_WHILE_PAUSED = [['prioritized', 'set'], ['paused', 'list'], ['wait', 'list'], ['active', 'list']] as const // prettier-ignore

/** See `Consumer.reduceQueued`. */
export async function reduceQueued(options: ReduceQueuedOptions): Promise<number> {
  const isPaused = (await readRestraint(options.queueHandle)) === 'paused'
  let reduced = 0
  let failuresInARow = 0
  let firstFailure: { readonly error: unknown } | null = null
  for (const [state, type] of isPaused ? [...RESTING, ...KEPT_WHILE_PAUSED] : RESTING) {
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
  // The caller repeats the pass: a job that failed holds an unreduced body, and may rest for long.
  if (firstFailure !== null) throw firstFailure.error
  return reduced
}

/** What is left over comes with the next sweep. */
const SWEEP_SIZE = 50

/** See `Consumer.sweepFailed`. */
export async function sweepFailed(options: {
  queueHandle: QueueHandle
  handle: (held: InFlightDelivery, reason: string) => Promise<DeliveryOutcome>
  onError: (error: unknown) => void
}): Promise<number> {
  const { queue } = options.queueHandle
  const ask = async <T>(question: () => Promise<T>) => await onQueue(options.queueHandle, question)
  // Without this look, each sweep would cost a script call on every worker for a set that is always empty.
  const failedCount = await ask(async () => await queue.getFailedCount())
  if (failedCount === 0) return 0
  const jobIds = await ask(async () => await queue.getRanges(['failed'], 0, SWEEP_SIZE - 1))

  let removed = 0
  for (const jobId of jobIds) {
    // One after the other: no more than one of them is in memory.
    const job: Job | undefined = await ask(async () => await queue.getJob(jobId))
    // Another worker may have swept it between the question and the answer.
    if (job === undefined) continue
    const held = heldDeliveries(job, options.queueHandle.keys)
    try {
      if ('unreadable' in held || held.undecryptable.length > 0) {
        // Back to waiting, where a consumer reports it and lets rest what it can't read.
        await ask(async () => await job.retry('failed'))
        continue
      }
      const outcomes: DeliveryOutcome[] = []
      for (const each of held.deliveries) outcomes.push(await options.handle(each, job.failedReason ?? ''))
      await ask(async () => await rewriteBodies(job, outcomes, options.queueHandle.keys))
      if (outcomes.some(({ action }) => action !== 'ack')) continue
      await ask(async () => await job.remove())
      removed += 1
    } catch (error) {
      // It stays where it is; one that can't be swept must not keep the others.
      options.onError(error)
    }
  }
  return removed
}
