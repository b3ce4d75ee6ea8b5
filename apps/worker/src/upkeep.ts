import {
  countPrunable,
  dropOldChanges,
  failureOf,
  MaintenanceBusyError,
  prune,
  recordOperation,
  removeUnkeyedDigests,
  type Database,
  type PruneReport,
  type RetentionLimits,
} from '@persona-ingest/database'
import type { Consumer } from '@persona-ingest/queue'
import type { Logger } from '@persona-ingest/service'
import type { WorkerEnv } from './env.ts'
import type { EventStore } from './store-batch.ts'

/**
 * Repeats work, each time `pauseMs` milliseconds after it ended: work that waits out an outage must not accumulate. A
 * function is asked before each pause. Returns a function that stops the repetition.
 */
export function repeatedly(options: {
  readonly pauseMs: number | (() => number)
  readonly work: () => Promise<unknown>
  readonly onError: (error: unknown) => void
}): () => void {
  let isStopped = false
  let timer: NodeJS.Timeout
  const pause = (): void => {
    const pauseMs = typeof options.pauseMs === 'number' ? options.pauseMs : options.pauseMs()
    if (!isStopped) timer = setTimeout(() => void options.work().catch(options.onError).finally(pause), pauseMs)
  }
  pause()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}

/**
 * Makes the work that reduces deliveries in the queue after a redaction or erasure: those that wait for their next try,
 * and in a paused queue all others too.
 *
 * Each erasure causes two passes, since a delivery that was checked just before it may enter the queue just after. Jobs
 * that wait in a running queue are taken soon, so that a backlog is not read for each redaction.
 */
export function reduceResting(
  consumer: Pick<Consumer, 'reduceQueued' | 'restraint'>,
  store: Pick<EventStore, 'erasureEpoch' | 'redactDelivery'>,
): () => Promise<void> {
  let known: string | null = null
  let passesLeft = 0
  return async () => {
    // A queue that is paused later holds jobs that no pass has read since the last erasure.
    const now = `${await store.erasureEpoch()} ${(await consumer.restraint()) === 'paused'}`
    if (now !== known) passesLeft = 2
    known = now
    if (passesLeft === 0) return
    await consumer.reduceQueued((delivery) => store.redactDelivery(delivery))
    passesLeft -= 1
  }
}

const DIGESTS_EVERY_MS = 30_000
/** Bodies that do not decrypt are read again in each pass, under a lock that other maintenance needs. */
const NOTHING_DECRYPTS_PAUSE_MS = 3_600_000

/**
 * Makes the work that replaces unkeyed digests of dead letters, which old versions stored. An unkeyed digest confirms a
 * guessed body to a reader who knows most of it.
 */
export function unkeyedDigestRemoval(
  database: Database,
  env: Pick<WorkerEnv, 'DATABASE_URL' | 'STORAGE_ENCRYPTION_KEYS'>,
  logger: Logger,
): { readonly pauseMs: () => number; readonly work: () => Promise<void> } {
  const options = { databaseUrl: env.DATABASE_URL, encryptionKeys: env.STORAGE_ENCRYPTION_KEYS }
  let unopenedBefore = 0
  let pauseMs = DIGESTS_EVERY_MS
  const work = async (): Promise<void> => {
    pauseMs = DIGESTS_EVERY_MS
    const report = await removeUnkeyedDigests(database, options)
    if (report === null) return
    const { refreshed: deadLetters, undecryptableIds } = report
    if (deadLetters > 0) logger.info({ deadLetters }, 'removed the unkeyed digests of dead letters')
    if (undecryptableIds.length > unopenedBefore)
      logger.warn(
        { deadLetters: undecryptableIds.slice(0, 10) },
        'dead letters do not open, their unkeyed digests stay',
      )
    unopenedBefore = undecryptableIds.length
    // All dead letters that are left have a key that is missing here, or are damaged.
    if (deadLetters === 0 && undecryptableIds.length > 0) pauseMs = NOTHING_DECRYPTS_PAUSE_MS
  }
  return { pauseMs: () => pauseMs, work }
}

const RETENTION_EVERY_MS = 3_600_000

/** Makes the work that drops old changes of the change feed with their ticks, soon after the start and then every hour. */
export function changesRetention(
  database: Database,
  env: Pick<WorkerEnv, 'CHANGES_KEEP_DAYS'>,
  logger: Logger,
): { readonly pauseMs: () => number; readonly work: () => Promise<void> } {
  let pauseMs = 0
  const work = async (): Promise<void> => {
    pauseMs = PRUNE_RETRY_MS
    const partitions = await dropOldChanges(database, env.CHANGES_KEEP_DAYS)
    if (partitions > 0) logger.info({ partitions }, 'dropped old changes')
    pauseMs = RETENTION_EVERY_MS
  }
  return { pauseMs: () => pauseMs, work }
}

const DAY_MS = 86_400_000
const PRUNE_CHECK_EVERY_MS = 5_000
/** Retention is set in days; a prune every hour spreads the work over them. */
const PRUNE_EVERY_MS = 3_600_000
const PRUNE_RETRY_MS = 60_000

type ScheduledPruneOptions = {
  readonly env: Pick<
    WorkerEnv,
    'DATABASE_URL' | 'STORAGE_ENCRYPTION_KEYS' | 'PRUNE_EVENTS_AFTER_DAYS' | 'PRUNE_DEAD_LETTERS_AFTER_DAYS'
  >
  readonly database: Database
  readonly logger: Logger
  /** Stops a prune between two chunks. */
  readonly shutdown: AbortSignal
  /** Pause after a failure, or while a prune or rebuild of another process runs, in ms. Default: 60,000. */
  readonly retryMs?: number
}

interface ScheduledPrune {
  start(): void
  /** Resolves when a prune that runs has stopped. */
  stop(): Promise<void>
}

function limitsAt(nowMs: number, { env }: ScheduledPruneOptions): RetentionLimits {
  const before = (days: number): Date | null => (days === 0 ? null : new Date(nowMs - days * DAY_MS))
  return {
    eventsBefore: before(env.PRUNE_EVENTS_AFTER_DAYS),
    deadLettersBefore: before(env.PRUNE_DEAD_LETTERS_AFTER_DAYS),
  }
}

async function pruneRecorded(options: ScheduledPruneOptions, limits: RetentionLimits): Promise<PruneReport> {
  const { env, database, shutdown } = options
  const operation = {
    command: 'prune',
    arguments: {
      events_after_days: env.PRUNE_EVENTS_AFTER_DAYS || null,
      dead_letters_after_days: env.PRUNE_DEAD_LETTERS_AFTER_DAYS || null,
    },
    operator: 'worker',
    reason: 'schedule',
  }
  return recordOperation(database, operation, async (counts) =>
    prune({
      databaseUrl: env.DATABASE_URL,
      encryptionKeys: env.STORAGE_ENCRYPTION_KEYS,
      ...limits,
      signal: shutdown,
      onProgress: ({ phase, done }) => (counts[phase === 'events' ? 'events' : 'dead_letters'] = done),
    }),
  )
}

/** Leaves no record of an operation where nothing is old enough. */
async function pruneDue(options: ScheduledPruneOptions): Promise<void> {
  const { env, logger } = options
  const limits = limitsAt(Date.now(), options)
  const prunable = await countPrunable(env.DATABASE_URL, limits)
  if (prunable.events + prunable.deadLetters === 0) return
  const { events, deadLetters, unreadableIds } = await pruneRecorded(options, limits)
  logger.info({ events, deadLetters }, 'pruned what has come of age')
  if (unreadableIds.length > 0)
    logger.warn({ eventIds: unreadableIds.slice(0, 10) }, 'events were changed by hand and could not be pruned')
}

/**
 * Prunes rows past their retention soon after the start and then every hour, where the environment sets a retention. Of
 * several workers one prunes at a time; during a rebuild none does.
 */
export function scheduledPrune(options: ScheduledPruneOptions): ScheduledPrune {
  const { env, logger, shutdown, retryMs = PRUNE_RETRY_MS } = options
  const isOn = env.PRUNE_EVENTS_AFTER_DAYS > 0 || env.PRUNE_DEAD_LETTERS_AFTER_DAYS > 0
  let dueAtMs = 0
  let running: Promise<unknown> = Promise.resolve()
  let stopRepeating = (): void => undefined
  const onError = (error: unknown): void => {
    if (shutdown.aborted) return
    dueAtMs = performance.now() + retryMs
    if (error instanceof MaintenanceBusyError)
      return logger.debug('another prune or a rebuild is under way, trying again in a minute')
    logger.warn({ description: failureOf(error).description }, 'prune failed, trying again in a minute')
  }
  const work = async (): Promise<void> => {
    if (performance.now() < dueAtMs) return
    dueAtMs = performance.now() + PRUNE_EVERY_MS
    running = pruneDue(options).catch(onError)
    await running
  }
  return {
    start() {
      if (isOn) stopRepeating = repeatedly({ pauseMs: PRUNE_CHECK_EVERY_MS, work, onError })
    },
    async stop() {
      stopRepeating()
      await running
    },
  }
}
