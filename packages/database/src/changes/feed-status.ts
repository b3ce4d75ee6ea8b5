import type { Database } from '../database.ts'
import { sqlStateOf } from '../sql/failure.ts'

/** Where a consumer of the change feed stands. */
export type ConsumerStatus = {
  readonly name: string
  readonly tick: bigint
  readonly updatedAt: Date
  /** Its tick is no longer kept, or is of another history: it must read all rows, and go on from the latest tick. */
  readonly isExpired: boolean
  /** Changes that it has not read; exact up to 1,000, else an estimate. Null where it has expired. */
  readonly lagChanges: number | null
  readonly isLagExact: boolean
  /** Age in ms of the first tick that it has not read; 0 at the latest tick, null where it has expired. */
  readonly lagMs: number | null
  /** Objects whose newest change a notifier has still to send, and those that it gave up; at most 10,001 are counted. */
  readonly notifications: { readonly pending: number; readonly failed: number }
}

export type FeedStatus = {
  /** Null before the first tick. */
  readonly newestTick: { readonly tick: bigint; readonly at: Date; readonly ageMs: number } | null
  readonly oldestTick: bigint
  /** Committed changes that no tick shows yet. At most 10,001 are counted; then the count is a lower bound. */
  readonly waiting: number
  /** Null where none waits. */
  readonly oldestWaitingMs: number | null
  /** Those that are furthest behind come first, before them those that have expired. */
  readonly consumers: readonly ConsumerStatus[]
}

const MAX_WAITING = 10_000
const MAX_COUNTED = 1_000

function notificationsSql(state: string): string {
  return `(SELECT count(*) FROM (SELECT FROM notifications s WHERE s.consumer = l.name AND s.state = '${state}'
    LIMIT ${MAX_WAITING + 1}) AS of_state)::int AS ${state}`
}

/** The age is that of the first tick behind the cursor: after a quiet week, a reader is not a week behind. */
const statusSql = `
WITH newest AS (
  SELECT t.tick, t.at, t.snapshot, t.last_seq FROM change_ticks t ORDER BY t.tick DESC LIMIT 1
), waiting AS (
  (SELECT c.changed_at FROM pg_snapshot_xip((SELECT n.snapshot FROM newest n)) x JOIN changes c ON c.xid = x
    LIMIT ${MAX_WAITING + 1})
  UNION ALL
  (SELECT c.changed_at FROM changes c
    WHERE c.xid >= pg_snapshot_xmax(COALESCE((SELECT n.snapshot FROM newest n), '1:1:'))
    ORDER BY c.xid, c.seq LIMIT ${MAX_WAITING + 1})
), feed AS (
  SELECT f.oldest_tick, n.tick AS newest_tick, n.at AS newest_at, n.last_seq,
    (SELECT count(*) FROM (SELECT FROM waiting LIMIT ${MAX_WAITING + 1}) w)::int AS waiting,
    (SELECT min(w.changed_at) FROM waiting w) AS oldest_waiting_at
  FROM change_feed f LEFT JOIN newest n ON true WHERE f.id = 1
), consumers AS (
  SELECT c.*, c.tick < f.oldest_tick OR c.tick > COALESCE(f.newest_tick, 0) AS is_expired
  FROM change_consumers c, feed f ORDER BY is_expired DESC, c.tick, c.name LIMIT $1::int
), lags AS (
  SELECT c.*, f.newest_tick,
    f.last_seq - COALESCE((SELECT t.last_seq FROM change_ticks t WHERE t.tick = c.tick), 0) AS estimate,
    (SELECT t.at FROM change_ticks t WHERE t.tick > c.tick ORDER BY t.tick LIMIT 1) AS unread_at
  FROM consumers c, feed f
)
SELECT f.oldest_tick, f.newest_tick, f.newest_at, f.waiting, clock_timestamp() AS now, f.oldest_waiting_at,
  l.name, l.tick, l.updated_at, l.is_expired, l.unread_at, l.estimate::float8 AS estimate,
  (CASE WHEN l.is_expired THEN NULL
    WHEN l.estimate <= ${MAX_COUNTED}
    THEN (SELECT count(*) FROM changes_page(l.tick, l.newest_tick, 0, ${MAX_COUNTED + 1})) END)::int AS counted,
  ${notificationsSql('pending')}, ${notificationsSql('failed')}
FROM feed f LEFT JOIN lags l ON true ORDER BY l.is_expired DESC, l.tick, l.name`

type FeedColumns = {
  readonly oldest_tick: bigint
  readonly newest_tick: bigint | null
  readonly newest_at: Date | null
  readonly waiting: number
  readonly oldest_waiting_at: Date | null
  readonly now: Date
}
type ConsumerColumns = {
  readonly name: string
  readonly tick: bigint
  readonly updated_at: Date
  readonly is_expired: boolean
  readonly unread_at: Date | null
  readonly estimate: number | null
  readonly counted: number | null
  readonly pending: number
  readonly failed: number
}
type StatusRow = FeedColumns & (ConsumerColumns | { readonly name: null })

/** A step of the clock must not give a negative age. */
const ageMs = (from: Date, now: Date): number => Math.max(0, now.getTime() - from.getTime())

function consumerOf(row: ConsumerColumns, now: Date): ConsumerStatus {
  const { name, tick, updated_at: updatedAt, is_expired: isExpired, estimate, counted, unread_at: unreadAt } = row
  const notifications = { pending: row.pending, failed: row.failed }
  const status = { name, tick, updatedAt, isExpired, notifications }
  if (isExpired) return { ...status, lagChanges: null, isLagExact: false, lagMs: null }
  const isLagExact = counted !== null && counted <= MAX_COUNTED
  const lagChanges = isLagExact ? counted : Math.max(estimate ?? 0, counted ?? 0)
  return { ...status, lagChanges, isLagExact, lagMs: unreadAt === null ? 0 : ageMs(unreadAt, now) }
}

async function readRows(database: Database, maxConsumers: number): Promise<readonly StatusRow[]> {
  const read = async () => database.prisma.$queryRawUnsafe<readonly StatusRow[]>(statusSql, maxConsumers)
  return read().catch(async (error: unknown) => {
    // A cursor that expires while its changes are counted.
    if (sqlStateOf(error) !== 'PX001') throw error
    return read()
  })
}

/** Reads how far ticks and consumers are, by one statement. Consumers above `maxConsumers` (default 1,000) are left out. */
export async function readFeedStatus(
  database: Database,
  { maxConsumers = 1_000 }: { readonly maxConsumers?: number } = {},
): Promise<FeedStatus> {
  const rows = await readRows(database, maxConsumers)
  const [feed] = rows
  if (feed === undefined) throw new Error('Expected a row of the change feed, got none')
  const {
    oldest_tick: oldestTick,
    newest_tick: tick,
    newest_at: at,
    waiting,
    oldest_waiting_at: waitsSince,
    now,
  } = feed
  return {
    newestTick: tick === null || at === null ? null : { tick, at, ageMs: ageMs(at, now) },
    oldestTick,
    waiting,
    oldestWaitingMs: waitsSince === null ? null : ageMs(waitsSince, now),
    consumers: rows.flatMap((row) => (row.name === null ? [] : [consumerOf(row, now)])),
  }
}
