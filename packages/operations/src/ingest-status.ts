import { withDeadline } from '@persona-ingest/core'
import {
  countOpenDeadLetters,
  failureOf,
  readEventStatistics,
  readFeedStatus,
  type ConsumerStatus,
  type Database,
  type FeedStatus,
} from '@persona-ingest/database'
import { QueueUnavailableError, type QueueRestraint, type QueueView } from '@persona-ingest/queue'

/** Whether a server answers; `fault` says why not, else it is null. */
export type Reachability = { readonly reachable: boolean; readonly fault: string | null }

/** Where a consumer of the change feed stands; lags are null where it has expired. */
export type ConsumerDocument = {
  readonly name: string
  readonly tick: number
  readonly updated_at: Date
  readonly expired: boolean
  readonly lag_changes: number | null
  readonly lag_is_exact: boolean
  readonly lag_ms: number | null
  readonly notifications_pending: number
  readonly notifications_failed: number
}

/** The state of the service; a part is null where its server is away. The members are those of `ops status --json`. */
export type IngestStatus = {
  readonly redis: Reachability
  readonly database: Reachability
  readonly queue: {
    readonly waiting: number
    readonly active: number
    readonly delayed: number
    readonly failed: number
    readonly oldest_waiting_ms: number | null
    /** Databases whose workers took jobs within the last minute; more than one is a fault. */
    readonly installations: number
    /** `paused` or `limited` by a dashboard, so that workers take fewer jobs or none; else null. */
    readonly restraint: QueueRestraint | null
    /** Deliveries that came unencrypted although a worker has keys; null without one in the last week. */
    readonly unencrypted: { readonly deliveries: number; readonly last_at: Date } | null
  } | null
  /** From receipt to stored, over the newest `events` events; null also where nothing is stored. */
  readonly lag: {
    readonly events: number
    readonly p50_ms: number
    readonly p99_ms: number
    readonly max_ms: number
  } | null
  readonly events: {
    readonly total: number
    readonly total_is_exact: boolean
    readonly last_hour: number
    readonly newest_received_at: Date | null
  } | null
  readonly dead_letters: { readonly open: number; readonly by_reason: Readonly<Record<string, number>> } | null
  /** The change feed. `waiting` changes have no tick yet; above 10,000 it is a lower bound. */
  readonly changes: {
    readonly newest_tick: number | null
    readonly newest_tick_at: Date | null
    readonly oldest_tick: number
    readonly waiting: number
    readonly oldest_waiting_ms: number | null
    readonly consumers: readonly ConsumerDocument[]
  } | null
}

type QueuePart = Pick<IngestStatus, 'redis' | 'queue'>
type DatabasePart = Pick<IngestStatus, 'database' | 'lag' | 'events' | 'dead_letters' | 'changes'>

const REACHABLE: Reachability = { reachable: true, fault: null }
/** Far above the duration of the queries: an operator in an outage needs an answer. */
const ANSWER_TIMEOUT_MS = 10_000

function away(fault: string): Reachability {
  return { reachable: false, fault }
}

/** Never rejects. */
async function readQueueStatus(view: QueueView, nowMs: number): Promise<QueuePart> {
  try {
    const [counts, oldestWaitingMs, restraint, found, installations] = await Promise.all([
      view.counts(),
      view.oldestWaitingMs(nowMs),
      view.restraint(),
      view.unencrypted(),
      view.installations(),
    ])
    const unencrypted = found === null ? null : { deliveries: found.count, last_at: new Date(found.lastAtMs) }
    return {
      redis: REACHABLE,
      queue: {
        ...counts,
        oldest_waiting_ms: oldestWaitingMs,
        restraint,
        unencrypted,
        installations: installations.length,
      },
    }
  } catch (error) {
    const fault = error instanceof QueueUnavailableError ? `${error.code}: ${error.message}` : 'unexpected failure'
    return { redis: away(fault), queue: null }
  }
}

/** Consumers as commands with `--json` print them. */
export function consumersDocument(consumers: readonly ConsumerStatus[]): readonly ConsumerDocument[] {
  return consumers.map(({ name, tick, updatedAt, isExpired, lagChanges, isLagExact, lagMs, notifications }) => ({
    name,
    tick: Number(tick),
    updated_at: updatedAt,
    expired: isExpired,
    lag_changes: lagChanges,
    lag_is_exact: isLagExact,
    lag_ms: lagMs,
    notifications_pending: notifications.pending,
    notifications_failed: notifications.failed,
  }))
}

function feedPart({
  newestTick,
  oldestTick,
  waiting,
  oldestWaitingMs,
  consumers,
}: FeedStatus): DatabasePart['changes'] {
  return {
    newest_tick: newestTick === null ? null : Number(newestTick.tick),
    newest_tick_at: newestTick?.at ?? null,
    oldest_tick: Number(oldestTick),
    waiting,
    oldest_waiting_ms: oldestWaitingMs,
    consumers: consumersDocument(consumers),
  }
}

async function queryDatabase(database: Database): Promise<DatabasePart> {
  const [statistics, deadLetters, feed] = await Promise.all([
    readEventStatistics(database),
    countOpenDeadLetters(database),
    readFeedStatus(database),
  ])
  const { lag, total, isExact, lastHour, newestReceivedAt } = statistics
  return {
    database: REACHABLE,
    lag: lag === null ? null : { events: lag.events, p50_ms: lag.p50Ms, p99_ms: lag.p99Ms, max_ms: lag.maxMs },
    events: { total, total_is_exact: isExact, last_hour: lastHour, newest_received_at: newestReceivedAt },
    dead_letters: {
      open: deadLetters.reduce((sum, { count }) => sum + count, 0),
      by_reason: Object.fromEntries(deadLetters.map(({ reason, count }) => [reason, count])),
    },
    changes: feedPart(feed),
  }
}

/** Never rejects. */
async function readDatabaseStatus(database: Database): Promise<DatabasePart> {
  const nothing = { lag: null, events: null, dead_letters: null, changes: null }
  const answer = queryDatabase(database).catch((error: unknown) => {
    return { database: away(failureOf(error).description), ...nothing }
  })
  return await withDeadline(
    ANSWER_TIMEOUT_MS,
    () => answer,
    () => {
      return { database: away('the database does not answer in time'), ...nothing }
    },
  )
}

/** Reads the state of queue and database, each as far as its server answers. `nowMs` is in Unix milliseconds. Never rejects. */
export async function readIngestStatus(view: QueueView, database: Database, nowMs: number): Promise<IngestStatus> {
  const [{ redis, queue }, { database: reachability, ...known }] = await Promise.all([
    readQueueStatus(view, nowMs),
    readDatabaseStatus(database),
  ])
  return { redis, database: reachability, queue, ...known }
}
