import {
  countDriftedEvents,
  countOpenDeadLetters,
  failureOf,
  openDatabase,
  readDatabaseIdentity,
  readErasureEpoch,
  reduceDelivery,
  replayEvent,
  storeDeadLetter,
  storeEvents,
  tryStoring,
  tryWriting,
  type Database,
  type DatabaseOptions,
} from '@persona-ingest/database'
import { createConsumer, type Consumer } from '@persona-ingest/queue'
import { withDeadline } from '@persona-ingest/core'
import { Readiness, type Logger, type Registry } from '@persona-ingest/service'
import { BATCHES_IN_FLIGHT, createCommit, memoryBounds } from './commit.ts'
import type { WorkerEnv } from './env.ts'
import type { EventStore } from './store-batch.ts'
import {
  InFlightDeliveries,
  reduceResting,
  type ProcessContext,
  processDelivery,
  settleTraced,
} from './process-delivery.ts'

import { createMetrics } from './metrics.ts'
import { Outage } from './outage.ts'

import { announceDatabase, createWatchdog, queueReports } from './watchdog.ts'
import { repeatedly, scheduledPrune, unkeyedDigestRemoval } from './upkeep.ts'

const UPKEEP_EVERY_MS = 5_000
/** Parts of DRAIN_TIMEOUT_MS: until deliveries that can't be stored are handed back, and until the queue is closed. */
const GIVE_UP_AFTER = 0.5
const CLOSE_WITHIN = 0.85
const DATABASE_CLOSE_MS = 500
const SCRAPE_DEADLINE_MS = 2_000

export type WorkerDependencies = {
  readonly env: WorkerEnv
  readonly logger: Logger
  readonly registry: Registry
  /** Whether jobs get spans of OpenTelemetry, which the process has started. */
  readonly isTraced?: boolean
  /** First part of all Redis keys; default BullMQ's. */
  readonly queuePrefix?: string
  /** Ends a process that was found asleep or stuck. */
  readonly end: () => void
  /** After how long without a settled delivery it counts as stuck; default the watchdog's. */
  readonly stuckAfterMs?: number
  /** For tests: settings of PostgreSQL that differ from ours. */
  readonly sessionSettings?: DatabaseOptions['sessionSettings']
}

export type WorkerApp = {
  readonly readiness: Readiness
  readonly inFlightCount: () => number
  start(): void
  /** Stops taking, finishes what is held or hands it back, closes. */
  close(): Promise<void>
}

function openEventDatabase(env: WorkerEnv, sessionSettings: DatabaseOptions['sessionSettings']): Database {
  return openDatabase({
    url: env.DATABASE_URL,
    encryptionKeys: env.STORAGE_ENCRYPTION_KEYS,
    connections: BATCHES_IN_FLIGHT + 2,
    sessionSettings,
  })
}

function eventStore({ prisma }: Database): EventStore {
  return {
    storeEvents: (events) => storeEvents(prisma, events),
    storeDeadLetter: (letter) => storeDeadLetter(prisma, letter),
    erasureEpoch: () => readErasureEpoch(prisma),
    reduceDelivery: (delivery) => reduceDelivery(prisma, delivery),
    replayEvent: (eventId, options) => replayEvent(prisma, eventId, options),
    tryWriting: () => tryWriting(prisma),
    tryStoring: () => tryStoring(prisma),
    failureOf,
  }
}

/** A scrape must not wait for a database that does not answer, least of all then. */
async function withinScrape<T>(answer: Promise<T>): Promise<T> {
  return withDeadline(
    SCRAPE_DEADLINE_MS,
    () => answer,
    () => {
      throw new Error('the database did not answer within the time of a scrape')
    },
  )
}

function logOutages(logger: Logger) {
  return (isOut: boolean, description: string): void => {
    if (isOut) logger.warn({ description }, 'database takes no writes, holding deliveries until it does')
    else logger.info('database takes writes again')
  }
}

/** With nothing to store, an address or a pooler that is wrong would be told by the first delivery only. */
async function tellIfUnusable(store: EventStore, logger: Logger, draining: AbortSignal): Promise<void> {
  try {
    await store.tryWriting()
  } catch (error) {
    const { description } = failureOf(error)
    if (!draining.aborted) logger.warn({ description }, 'database takes no writes at the start')
  }
}

const closeInTime = async (close: () => Promise<unknown>) => withDeadline(DATABASE_CLOSE_MS, close, () => undefined)

/** Builds the whole worker; nothing is taken before `start`, and nothing fails because Redis or PostgreSQL is away. */
export function buildWorker(dependencies: WorkerDependencies): WorkerApp {
  const { env, logger, registry, isTraced, queuePrefix, end, stuckAfterMs, sessionSettings } = dependencies
  const draining = new AbortController()
  const handBack = new InFlightDeliveries()
  const { maxHeldBytes, readBudget } = memoryBounds()
  const database = openEventDatabase(env, sessionSettings)
  const store = eventStore(database)
  const outage = new Outage({ draining: draining.signal, onChange: logOutages(logger) })
  const consumer: Consumer = createConsumer({
    redisUrl: env.REDIS_URL,
    prefix: queuePrefix,
    encryptionKeys: env.QUEUE_ENCRYPTION_KEYS,
    concurrency: env.WORKER_CONCURRENCY,
    maxInFlightBytes: maxHeldBytes,
    maxAttempts: env.MAX_ATTEMPTS,
    isTraced,
    handle: (held) => handBack.track(settleTraced(context, held)),
    ...queueReports(logger, { end, metrics: () => metrics }),
  })
  const readiness = new Readiness({ checks: { redis: () => consumer.probe(), database: () => store.tryWriting() } })
  const openDeadLetters = () => withinScrape(countOpenDeadLetters(database.prisma))
  const driftedEvents = () => withinScrape(countDriftedEvents(database.prisma))
  const bytes = { held: { taken: () => consumer.inFlightBytes(), limit: maxHeldBytes }, read: readBudget }
  const metrics = createMetrics(registry, { queue: consumer, readiness, bytes, openDeadLetters, driftedEvents })
  const commit = createCommit({ store, outage, metrics })
  const context: ProcessContext = {
    store,
    outage,
    memory: readBudget,
    commit,
    maxAttempts: env.MAX_ATTEMPTS,
    logger,
    metrics,
  }
  const canSettle = async () => !outage.isOut && (await readiness.missing()).length === 0
  const watch = createWatchdog({ consumer, progress: () => outage.answers, canSettle, logger, end, stuckAfterMs })
  // What is in BullMQ's failed set gets another chance; it leaves the set only when it is settled for good.
  const upkeep = async () => consumer.sweepFailed((held) => processDelivery(context, held))
  const announce = announceDatabase({ consumer, logger, readIdentity: () => readDatabaseIdentity(database.prisma) })
  const stops: (() => void)[] = []
  const pruning = scheduledPrune({ env, prisma: database.prisma, logger, draining: draining.signal })
  return {
    readiness,
    inFlightCount: () => consumer.inFlightCount(),
    start() {
      consumer.start()
      const onError = (err: unknown) => logger.debug({ err }, 'queue upkeep failed')
      // Each with a timer of its own: a sweep that hangs must not stop the watchdog.
      for (const work of [upkeep, reduceResting(consumer, store), announce, watch])
        stops.push(repeatedly({ pauseMs: UPKEEP_EVERY_MS, work, onError }))
      stops.push(repeatedly({ ...unkeyedDigestRemoval(database.prisma, env, logger), onError }))
      pruning.start()
      void tellIfUnusable(store, logger, draining.signal)
    },
    async close() {
      readiness.beginShutdown()
      for (const stop of stops) stop()
      draining.abort()
      // A database that does not answer at all must not keep the deliveries past the time there is.
      setTimeout(() => handBack.requeueAll(), env.DRAIN_TIMEOUT_MS * GIVE_UP_AFTER).unref()
      const isSettled = await consumer.close({ timeoutMs: env.DRAIN_TIMEOUT_MS * CLOSE_WITHIN })
      if (!isSettled) logger.warn('closed with deliveries held; they come back when their locks run out')
      await closeInTime(() => pruning.stop())
      await closeInTime(() => database.close())
    },
  }
}
