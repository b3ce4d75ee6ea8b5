import { withDeadline } from '@persona-ingest/core'
import { countNotifications, openDatabase, probeNotifications } from '@persona-ingest/database'
import { createNotificationQueue, QueueUnavailableError, type NotificationQueue } from '@persona-ingest/queue'
import { Readiness, RepeatedLine, type Logger, type Registry } from '@persona-ingest/service'
import { EndpointHealth } from './endpoint-health.ts'
import { openEndpoint, type Resolve } from './endpoint.ts'
import type { NotifierEnv } from './env.ts'
import { openFeedSource } from './feed-source.ts'
import { FeedFollower } from './follow-feed.ts'
import { createSigner } from './message.ts'
import { createMetrics, registerGauges } from './metrics.ts'
import { DatabaseOutage } from './outages.ts'
import { SCHEDULE, type Schedule } from './schedule.ts'
import { createSender } from './send-object.ts'
import { createSweep } from './sweep.ts'

/** Share of DRAIN_TIMEOUT_MS after which requests under way are interrupted. */
const INTERRUPT_AFTER = 0.6
/** Share of DRAIN_TIMEOUT_MS after which the queue is closed, also with jobs in flight. */
const CLOSE_WITHIN = 0.85
const CLOSE_DEADLINE_MS = 1_000
const SCRAPE_DEADLINE_MS = 2_000
const QUEUE_ERROR_EVERY_MS = 30_000
/** An outcome takes a few ms to store, so that many requests share a connection. */
const MAX_CONNECTIONS = 20
/** For reading, the sweep and scrapes. */
const OTHER_CONNECTIONS = 3

export type NotifierDependencies = {
  readonly env: NotifierEnv
  readonly logger: Logger
  readonly registry: Registry
  /** Ends the process: Redis refuses the database number. */
  readonly end: () => void
  /** First part of all Redis keys; default `persona:notify`. */
  readonly queuePrefix?: string
  /** For tests; default: the system's resolver. */
  readonly resolve?: Resolve
  /** For tests; default: `SCHEDULE`. */
  readonly schedule?: Schedule
}

export type NotifierApp = {
  readonly readiness: Readiness
  /** Objects that are being sent. */
  readonly inFlightCount: () => number
  start(): void
  /** Shuts down gracefully: stops reading and taking, finishes requests under way, closes. */
  close(): Promise<void>
}

function queueErrorLine(logger: Logger): (error: unknown) => void {
  const line = new RepeatedLine<string>({
    everyMs: QUEUE_ERROR_EVERY_MS,
    write: (code, count) => logger.warn({ code, count }, 'the queue of notifications is in trouble, they wait'),
  })
  return (error) => {
    logger.debug({ err: error }, 'error of the queue of notifications')
    line.note(error instanceof QueueUnavailableError ? error.code : 'QUEUE_ERROR')
  }
}

const closeInTime = async (close: () => Promise<unknown>) => withDeadline(CLOSE_DEADLINE_MS, close, () => undefined)

async function withinScrape<T>(answer: Promise<T>): Promise<T> {
  return withDeadline(
    SCRAPE_DEADLINE_MS,
    () => answer,
    () => {
      throw new Error('no answer within the time of a scrape')
    },
  )
}

function openOwnQueue(
  { env, logger, end, queuePrefix }: NotifierDependencies,
  { send, onError }: { readonly send: (objectId: string) => Promise<void>; readonly onError: (error: unknown) => void },
): NotificationQueue {
  return createNotificationQueue({
    redisUrl: env.REDIS_URL,
    prefix: queuePrefix,
    consumer: env.NOTIFIER_CONSUMER,
    concurrency: env.NOTIFIER_CONCURRENCY,
    send,
    onError,
    onUnusable(error) {
      logger.fatal({ err: error }, 'Redis refuses the database number, ending')
      end()
    },
  })
}

/** What reads, waits and sends; `sender` is made last, since it asks the sweep to send again. */
function assemble(dependencies: NotifierDependencies, interruption: AbortSignal) {
  const { env, logger, registry, resolve, schedule = SCHEDULE } = dependencies
  const { NOTIFIER_CONSUMER: consumer, NOTIFIER_CONCURRENCY: concurrency, NOTIFIER_TIMEOUT_MS: timeoutMs } = env
  const outage = new DatabaseOutage(logger)
  const metrics = createMetrics(registry)
  const onQueueError = queueErrorLine(logger)
  const connections = Math.min(MAX_CONNECTIONS, concurrency + OTHER_CONNECTIONS)
  const database = openDatabase({ url: env.DATABASE_URL, encryptionKeys: [], connections })
  const source = openFeedSource({ url: env.DATABASE_URL, logger })
  const { NOTIFIER_URL: url, NOTIFIER_ALLOW_PRIVATE: isPrivateAllowed } = env
  const endpoint = openEndpoint({ url, isPrivateAllowed, concurrency, resolve })
  const health = new EndpointHealth()
  const send = async (objectId: string) => await sender(objectId)
  const queue = openOwnQueue(dependencies, { send, onError: onQueueError })
  const common = { database, consumer, metrics, logger, outage }
  const sweep = createSweep({ database, consumer, queue, outage, health, onQueueError })
  const sendAgain = (objectId: string) => void sweep.add([objectId])
  const signer = createSigner(env.NOTIFIER_SECRET)
  const sender = createSender({ ...common, endpoint, health, signer, timeoutMs, schedule, sendAgain, interruption })
  const { NOTIFIER_FROM: from, NOTIFIER_FAMILIES: families } = env
  const onDue = (objectIds: readonly string[]) => void sweep.add(objectIds)
  const follower = new FeedFollower({ ...common, source, from, families, onDue })
  return { database, source, endpoint, queue, sweep, follower }
}

/** Builds the whole notifier. It sends nothing before `start`, and does not throw where Redis or PostgreSQL is away. */
export function buildNotifier(dependencies: NotifierDependencies): NotifierApp {
  const { env, logger, registry } = dependencies
  const interruption = new AbortController()
  const { database, source, endpoint, queue, sweep, follower } = assemble(dependencies, interruption.signal)
  const readiness = new Readiness({
    checks: { redis: () => queue.probe(), database: () => probeNotifications(database) },
  })
  registerGauges(registry, {
    readiness,
    counts: () => withinScrape(countNotifications(database, env.NOTIFIER_CONSUMER)),
    queued: () => withinScrape(queue.count()),
    inFlight: () => queue.inFlightCount(),
    isReading: () => follower.isReading,
  })
  return {
    readiness,
    inFlightCount: () => queue.inFlightCount(),
    start() {
      queue.start()
      sweep.start()
      follower.start()
    },
    async close() {
      readiness.beginShutdown()
      setTimeout(() => interruption.abort(), env.DRAIN_TIMEOUT_MS * INTERRUPT_AFTER).unref()
      const stopped = Promise.all([sweep.stop(), follower.stop()])
      const isFinished = await queue.close({ timeoutMs: env.DRAIN_TIMEOUT_MS * CLOSE_WITHIN })
      if (!isFinished) logger.warn('closed with notifications under way; they are sent again when their claims end')
      endpoint.close()
      await closeInTime(() => stopped)
      await closeInTime(() => source.close())
      await closeInTime(() => database.close())
    },
  }
}
