import { withDeadline } from '@persona-ingest/core'
import {
  countDriftedEvents,
  countOpenDeadLetters,
  failureOf,
  makeChangeTick,
  openDatabase,
  readDatabaseIdentity,
  readFeedStatus,
  type Database,
  type DatabaseOptions,
} from '@persona-ingest/database'
import { createConsumer, type Consumer } from '@persona-ingest/queue'
import { Readiness, type Logger, type Registry } from '@persona-ingest/service'
import { BATCHES_IN_FLIGHT, createCommit, memoryBounds } from './commit.ts'
import type { WorkerEnv } from './env.ts'
import { MAX_CONSUMERS } from './feed-metrics.ts'
import { createMetrics, registerGauges, type GaugeSources, type WorkerMetrics } from './metrics.ts'
import { Outage } from './outage.ts'
import { deliveryHandler, InFlightDeliveries, processDelivery, type ProcessContext } from './process-delivery.ts'
import { eventStore, type EventStore } from './store-batch.ts'
import { createTicker, type Ticker } from './ticker.ts'
import { changesRetention, reduceResting, repeatedly, scheduledPrune, unkeyedDigestRemoval } from './upkeep.ts'
import { announceDatabase, createWatchdog, queueListeners } from './watchdog.ts'

const UPKEEP_EVERY_MS = 5_000
/** Share of DRAIN_TIMEOUT_MS after which deliveries that can't be stored are requeued. */
const REQUEUE_AFTER = 0.5
/** Share of DRAIN_TIMEOUT_MS after which the queue is closed, also with jobs in flight. */
const CLOSE_WITHIN = 0.85
const DATABASE_CLOSE_MS = 500
/** Readers wait for the poll of another worker, or for the next start, where the last tick takes longer. */
const LAST_TICK_MS = 200
const SCRAPE_DEADLINE_MS = 2_000

export type WorkerDependencies = {
  readonly env: WorkerEnv
  readonly logger: Logger
  readonly registry: Registry
  /** Whether jobs get spans of OpenTelemetry, which the process has started. */
  readonly isTraced?: boolean
  /** First part of all Redis keys; default BullMQ's. */
  readonly queuePrefix?: string
  /** Ends the process: the watchdog found it asleep or stuck, or Redis refuses the database number. */
  readonly end: () => void
  /** Time without a finished delivery after which the worker counts as stuck, in ms; default 180,000. */
  readonly stuckAfterMs?: number
  /** For tests: settings of the PostgreSQL session that differ from the usual ones. */
  readonly sessionSettings?: DatabaseOptions['sessionSettings']
}

export type WorkerApp = {
  readonly readiness: Readiness
  /** Deliveries taken from the queue and not yet acknowledged to it. */
  readonly inFlightCount: () => number
  start(): void
  /** Shuts down gracefully: stops taking, finishes or requeues what is in flight, closes. */
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

/** A scrape must not wait for a database that does not answer. */
async function withinScrape<T>(answer: Promise<T>): Promise<T> {
  return withDeadline(
    SCRAPE_DEADLINE_MS,
    () => answer,
    () => {
      throw new Error('the database did not answer within the time of a scrape')
    },
  )
}

function databaseSources(database: Database): Pick<GaugeSources, 'openDeadLetters' | 'driftedEvents' | 'feedStatus'> {
  return {
    openDeadLetters: () => withinScrape(countOpenDeadLetters(database)),
    driftedEvents: () => withinScrape(countDriftedEvents(database)),
    feedStatus: () => withinScrape(readFeedStatus(database, { maxConsumers: MAX_CONSUMERS })),
  }
}

function logOutages(logger: Logger) {
  return (isOut: boolean, description: string): void => {
    if (isOut) logger.warn({ description }, 'database takes no writes, holding deliveries until it does')
    else logger.info('database takes writes again')
  }
}

/** Logs a wrong address or pooler at the start: without this check, only the first delivery would show it. */
async function warnIfUnusable(store: EventStore, logger: Logger, shutdown: AbortSignal): Promise<void> {
  try {
    await store.tryWriting()
  } catch (error) {
    const { description } = failureOf(error)
    if (!shutdown.aborted) logger.warn({ description }, 'database takes no writes at the start')
  }
}

function changeTicker(database: Database, logger: Logger, metrics: WorkerMetrics): Ticker {
  return createTicker({
    async makeTick() {
      const outcome = await makeChangeTick(database)
      if (outcome === 'ticked') metrics.changeTicks.inc()
      return outcome
    },
    onError: (error) => logger.debug({ description: failureOf(error).description }, 'no tick of the change feed'),
  })
}

const closeInTime = async (close: () => Promise<unknown>, ms = DATABASE_CLOSE_MS) =>
  withDeadline(ms, close, () => undefined)

/** The work that is repeated every few seconds, from the start to the shutdown. */
function frequentWork({
  context,
  consumer,
  readiness,
  database,
  end,
  stuckAfterMs,
}: {
  readonly context: ProcessContext
  readonly consumer: Consumer
  readonly readiness: Readiness
  readonly database: Database
  readonly end: () => void
  readonly stuckAfterMs: number | undefined
}): readonly (() => Promise<unknown>)[] {
  const { store, outage, logger } = context
  const canFinish = async () => !outage.isOut && (await readiness.missing()).length === 0
  return [
    // A job of BullMQ's failed set is processed again, and leaves the set only once it is acknowledged.
    () => consumer.sweepFailed((delivery) => processDelivery(context, delivery)),
    reduceResting(consumer, store),
    announceDatabase({ consumer, logger, readIdentity: () => readDatabaseIdentity(database) }),
    createWatchdog({ consumer, progress: () => outage.answers, canFinish, logger, end, stuckAfterMs }),
  ]
}

/** Builds the whole worker. It takes nothing before `start`, and does not throw where Redis or PostgreSQL is away. */
export function buildWorker(dependencies: WorkerDependencies): WorkerApp {
  const { env, logger, registry, isTraced, queuePrefix, end, stuckAfterMs, sessionSettings } = dependencies
  const shutdown = new AbortController()
  const { maxInFlightBytes, memory } = memoryBounds()
  const database = openEventDatabase(env, sessionSettings)
  const metrics = createMetrics(registry)
  const ticker = changeTicker(database, logger, metrics)
  const store = eventStore(database, () => ticker.wake())
  const outage = new Outage({ shutdown: shutdown.signal, onChange: logOutages(logger) })
  const commit = createCommit({ store, outage, metrics, memory })
  const context: ProcessContext = { store, outage, memory, commit, maxAttempts: env.MAX_ATTEMPTS, logger, metrics }
  const inFlight = new InFlightDeliveries()
  const consumer = createConsumer({
    redisUrl: env.REDIS_URL,
    prefix: queuePrefix,
    encryptionKeys: env.QUEUE_ENCRYPTION_KEYS,
    concurrency: env.WORKER_CONCURRENCY,
    maxInFlightBytes,
    maxAttempts: env.MAX_ATTEMPTS,
    isTraced,
    handle: deliveryHandler(context, inFlight),
    ...queueListeners({ logger, metrics, end }),
  })
  const readiness = new Readiness({ checks: { redis: () => consumer.probe(), database: () => store.tryWriting() } })
  registerGauges(registry, {
    queue: consumer,
    readiness,
    bytes: { held: { taken: () => consumer.inFlightBytes(), limit: maxInFlightBytes }, read: memory },
    ...databaseSources(database),
  })
  const works = frequentWork({ context, consumer, readiness, database, end, stuckAfterMs })
  const slowWorks = [unkeyedDigestRemoval(database, env, logger), changesRetention(database, env, logger)]
  const pruning = scheduledPrune({ env, database, logger, shutdown: shutdown.signal })
  const stops: (() => void)[] = []
  return {
    readiness,
    inFlightCount: () => consumer.inFlightCount(),
    start() {
      consumer.start()
      const onError = (err: unknown) => logger.debug({ err }, 'queue upkeep failed')
      // Separate timers: a hung sweep must not block the watchdog.
      for (const work of works) stops.push(repeatedly({ pauseMs: UPKEEP_EVERY_MS, work, onError }))
      for (const work of slowWorks) stops.push(repeatedly({ ...work, onError }))
      ticker.start()
      pruning.start()
      void warnIfUnusable(store, logger, shutdown.signal)
    },
    async close() {
      readiness.beginShutdown()
      for (const stop of stops) stop()
      shutdown.abort()
      // A database that does not answer must not hold deliveries until the deadline.
      setTimeout(() => inFlight.requeueAll(), env.DRAIN_TIMEOUT_MS * REQUEUE_AFTER).unref()
      const isFinished = await consumer.close({ timeoutMs: env.DRAIN_TIMEOUT_MS * CLOSE_WITHIN })
      if (!isFinished) logger.warn('closed with deliveries held; they come back when their locks run out')
      ticker.stop()
      await closeInTime(() => pruning.stop())
      // A database that does not answer has committed nothing since.
      if (!outage.isOut) await closeInTime(() => ticker.finish(), LAST_TICK_MS)
      await closeInTime(() => database.close())
    },
  }
}
