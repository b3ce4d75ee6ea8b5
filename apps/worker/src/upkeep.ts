import {
  countPrunable,
  failureOf,
  MaintenanceBusyError,
  type PrismaClient,
  prune,
  type PruneReport,
  recordOperation,
  type RefreshReport,
  removeUnkeyedDigests,
  type RetentionLimits,
} from '@persona-ingest/database'
import type { Logger } from '@persona-ingest/service'
import type { WorkerEnv } from './env.ts'

const EVERY_MS = 30_000
/** Bodies that do not open are read again with each pass, under a lock that other maintenance needs. */
const NOTHING_OPENS_PAUSE_MS = 3_600_000

type UnkeyedDigestRemoval = {
  /** How long to wait before the next pass; it depends on what the last one found. */
  readonly pauseMs: () => number
  readonly work: () => Promise<void>
}

/** Nothing was written anew, and letters are left: their key is missing, or they are damaged. */
function isStuck({ refreshed, unopenedIds }: RefreshReport): boolean {
  return refreshed === 0 && unopenedIds.length > 0
}

/** Dead letters of versions before keyed digests hold unkeyed ones, which tell a body to a reader who knows most of it. */
export function unkeyedDigestRemoval(
  prisma: PrismaClient,
  env: Pick<WorkerEnv, 'DATABASE_URL' | 'STORAGE_ENCRYPTION_KEYS'>,
  logger: Logger,
): UnkeyedDigestRemoval {
  const options = { databaseUrl: env.DATABASE_URL, encryptionKeys: env.STORAGE_ENCRYPTION_KEYS }
  let unopenedBefore = 0
  let pauseMs = EVERY_MS
  const work = async (): Promise<void> => {
    pauseMs = EVERY_MS
    const report = await removeUnkeyedDigests(prisma, options)
    if (report === null) return
    const { refreshed: deadLetters, unopenedIds } = report
    if (deadLetters > 0) logger.info({ deadLetters }, 'removed the unkeyed digests of dead letters')
    if (unopenedIds.length > unopenedBefore)
      logger.warn({ deadLetters: unopenedIds.slice(0, 10) }, 'dead letters do not open, their unkeyed digests stay')
    unopenedBefore = unopenedIds.length
    if (isStuck(report)) pauseMs = NOTHING_OPENS_PAUSE_MS
  }
  return { pauseMs: () => pauseMs, work }
}

/**
 * Does work again and again, each time `pauseMs` after it ended: work that waits out an outage must not pile up. A function
 * gives each pause anew.
 * Returns what stops it.
 */
export function repeatedly(options: {
  readonly pauseMs: number | (() => number)
  readonly work: () => Promise<unknown>
  readonly onError: (error: unknown) => void
}): () => void {
  let isStopped = false
  let timer: NodeJS.Timeout
  const rest = (): void => {
    const pauseMs = typeof options.pauseMs === 'number' ? options.pauseMs : options.pauseMs()
    if (!isStopped) timer = setTimeout(() => void options.work().catch(options.onError).finally(rest), pauseMs)
  }
  rest()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}

const DAY_MS = 86_400_000
const LOOKED_EVERY_MS = 5_000
/** Ages are told in days; the work is spread over them. */
const PRUNED_EVERY_MS = 3_600_000
const AGAIN_AFTER_MS = 60_000

type ScheduledPruneOptions = {
  readonly env: Pick<
    WorkerEnv,
    'DATABASE_URL' | 'STORAGE_ENCRYPTION_KEYS' | 'PRUNE_EVENTS_AFTER_DAYS' | 'PRUNE_DEAD_LETTERS_AFTER_DAYS'
  >
  readonly prisma: PrismaClient
  readonly logger: Logger
  /** Stops it between two chunks. */
  readonly draining: AbortSignal
  /** How long after a failure, or another's prune or rebuild, it tries again, in ms. Default: a minute. */
  readonly againAfterMs?: number
}

interface ScheduledPrune {
  start(): void
  /** Resolves when a prune that is under way has stopped. */
  stop(): Promise<void>
}

function limitsAt(nowMs: number, { env }: ScheduledPruneOptions): RetentionLimits {
  const before = (days: number): Date | null => (days === 0 ? null : new Date(nowMs - days * DAY_MS))
  return {
    eventsBefore: before(env.PRUNE_EVENTS_AFTER_DAYS),
    lettersBefore: before(env.PRUNE_DEAD_LETTERS_AFTER_DAYS),
  }
}

async function pruneRecorded(options: ScheduledPruneOptions, limits: RetentionLimits): Promise<PruneReport> {
  const { env, prisma, draining } = options
  const operation = {
    command: 'prune',
    arguments: {
      events_after_days: env.PRUNE_EVENTS_AFTER_DAYS || null,
      dead_letters_after_days: env.PRUNE_DEAD_LETTERS_AFTER_DAYS || null,
    },
    operator: 'worker',
    reason: 'schedule',
  }
  return recordOperation(prisma, operation, async (counts) =>
    prune({
      databaseUrl: env.DATABASE_URL,
      encryptionKeys: env.STORAGE_ENCRYPTION_KEYS,
      ...limits,
      signal: draining,
      onProgress: ({ phase, done }) => (counts[phase === 'events' ? 'events' : 'dead_letters'] = done),
    }),
  )
}

/** Nothing of age leaves no record. */
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
 * Prunes what has come of age soon after the start and then every hour, where the environment asks for it. Of several
 * workers one prunes at a time; beside a rebuild none does.
 */
export function scheduledPrune(options: ScheduledPruneOptions): ScheduledPrune {
  const { env, logger, draining, againAfterMs = AGAIN_AFTER_MS } = options
  const isOn = env.PRUNE_EVENTS_AFTER_DAYS > 0 || env.PRUNE_DEAD_LETTERS_AFTER_DAYS > 0
  let dueAtMs = 0
  let running: Promise<unknown> = Promise.resolve()
  let stopLooking = (): void => undefined
  const onError = (error: unknown): void => {
    if (draining.aborted) return
    dueAtMs = performance.now() + againAfterMs
    if (error instanceof MaintenanceBusyError)
      return logger.debug('another prune or a rebuild is under way, trying again in a minute')
    logger.warn({ description: failureOf(error).description }, 'prune failed, trying again in a minute')
  }
  const work = async (): Promise<void> => {
    if (performance.now() < dueAtMs) return
    dueAtMs = performance.now() + PRUNED_EVERY_MS
    running = pruneDue(options).catch(onError)
    await running
  }
  return {
    start() {
      if (isOn) stopLooking = repeatedly({ pauseMs: LOOKED_EVERY_MS, work, onError })
    },
    async stop() {
      stopLooking()
      await running
    },
  }
}
