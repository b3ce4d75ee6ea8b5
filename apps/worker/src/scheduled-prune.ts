import {
  countPrunable,
  failureOf,
  MaintenanceBusyError,
  prune,
  recordOperation,
  type PrismaClient,
  type PruneReport,
  type RetentionLimits,
} from '@persona-ingest/database'
import type { Logger } from '@persona-ingest/service'
import type { WorkerEnv } from './env.ts'
import { repeatedly } from './repeatedly.ts'

const DAY_MS = 86_400_000
const LOOKED_EVERY_MS = 5_000
/** Ages are told in days; the work is spread over them. */
const PRUNED_EVERY_MS = 3_600_000
const AGAIN_AFTER_MS = 60_000

export type ScheduledPruneOptions = {
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

export interface ScheduledPrune {
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
