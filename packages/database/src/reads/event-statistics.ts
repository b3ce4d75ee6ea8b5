import type { Database } from '../database.ts'

const behindSql = `
SELECT id FROM events e WHERE id = ANY($1::text[])
  AND NOT (${['inquiries', 'verifications', 'resources'].map(newerThanRow).join(' OR ')}) ORDER BY id`

/** Finds events whose object has no row or an older one. */
export async function findBehindEvents(database: Database, eventIds: readonly string[]): Promise<readonly string[]> {
  const rows = await database.prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(behindSql, [...eventIds])
  return rows.map(({ id }) => id)
}

const EVENTS_LOOKED_AT = 1_000

export function newerThanRow(table: string): string {
  return `EXISTS (SELECT FROM ${table} r WHERE r.id = e.resource_id AND r.event_id IS NOT NULL
    AND (r.event_created_at, r.event_rank, r.event_id) >= (e.created_at, e.rank, e.id))`
}

/** Events of 15 minutes are never pruned; the condition makes PostgreSQL use the index of events that are not pruned. */
const driftedEventsSql = `
SELECT count(*)::int AS count
FROM (SELECT * FROM events WHERE pruned_at IS NULL AND received_at > now() - interval '15 minutes' LIMIT ${EVENTS_LOOKED_AT}) e
WHERE NOT (${['inquiries', 'verifications', 'resources'].map(newerThanRow).join(' OR ')})`

/**
 * Counts, among up to 1,000 events of the last 15 minutes, events whose object has no row or an older one. It is 0 unless
 * rows were changed by hand or by a fault of the program.
 */
export async function countDriftedEvents(database: Database): Promise<number> {
  const [row] = await database.prisma.$queryRawUnsafe<readonly { readonly count: number }[]>(driftedEventsSql)
  return row?.count ?? 0
}

/** Time from the receipt of the newest events to the commit that stored them, in ms. */
export type StoreLag = {
  readonly events: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export type EventStatistics = {
  /** Exact for small logs, else PostgreSQL's estimate. */
  readonly total: number
  readonly isExact: boolean
  /** Events received within the last hour. */
  readonly lastHour: number
  readonly newestReceivedAt: Date | null
  /** Of the newest 1,000 events that are not pruned; null without any. */
  readonly lag: StoreLag | null
}

/** Up to this size of the log's storage, an exact count takes a few ms. */
const COUNTED_BLOCKS = 2_000

// The newest events are found through the index of events that are not pruned, since a prune moves old rows to the end.
const statisticsSql = `
WITH log AS (
  SELECT reltuples, relpages, pg_relation_size(oid) / current_setting('block_size')::int AS blocks
  FROM pg_class WHERE oid = 'events'::regclass
), tail AS (
  SELECT received_at, extract(epoch FROM processed_at - received_at) * 1000 AS lag FROM events
  WHERE pruned_at IS NULL ORDER BY received_at DESC LIMIT 1000
)
SELECT
  (CASE WHEN blocks <= ${COUNTED_BLOCKS} THEN (SELECT count(*) FROM events)
    ELSE round(blocks * greatest(reltuples, 0) / greatest(relpages, 1)) END)::float8 AS total,
  blocks <= ${COUNTED_BLOCKS} AS is_exact,
  (SELECT count(*) FROM events WHERE pruned_at IS NULL AND received_at >= now() - interval '1 hour')::float8 AS last_hour,
  (SELECT max(received_at) FROM tail) AS newest_received_at,
  (SELECT count(*)::int FROM tail) AS events,
  (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY lag)::float8 FROM tail) AS p50,
  (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY lag)::float8 FROM tail) AS p99,
  (SELECT max(lag)::float8 FROM tail) AS max
FROM log`

type StatisticsRow = {
  readonly total: number
  readonly is_exact: boolean
  readonly last_hour: number
  readonly newest_received_at: Date | null
  readonly events: number
  readonly p50: number | null
  readonly p99: number | null
  readonly max: number | null
}

function lagOf({ events, p50, p99, max }: StatisticsRow): StoreLag | null {
  if (p50 === null || p99 === null || max === null) return null
  return { events, p50Ms: p50, p99Ms: p99, maxMs: max }
}

/** Reads the size of the event log and its recent lag, within milliseconds at any size. */
export async function readEventStatistics(database: Database): Promise<EventStatistics> {
  const [row] = await database.prisma.$queryRawUnsafe<readonly StatisticsRow[]>(statisticsSql)
  if (row === undefined) throw new Error('Expected one row of statistics, got none')
  return {
    total: row.total,
    isExact: row.is_exact,
    lastHour: row.last_hour,
    newestReceivedAt: row.newest_received_at,
    lag: lagOf(row),
  }
}
