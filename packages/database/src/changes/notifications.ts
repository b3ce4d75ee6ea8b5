import type { Database } from '../database.ts'
import { keepPrepared, type SqlExecutor } from '../sql/executor.ts'

/** The families of objects that the feed tells about. */
export const changeFamilies = ['inquiry', 'verification', 'resource'] as const
export type ChangeFamily = (typeof changeFamilies)[number]

/** One change of the feed, as the reader gives it. */
export type Change = {
  readonly family: string
  readonly objectId: string
  readonly inquiryId: string | null
  readonly version: bigint
  readonly cause: string
  readonly eventId: string | null
  readonly status: string | null
  readonly previousStatus: string | null
  readonly changedAt: Date
}

/** A change that this process alone may send, until the claim ends. */
export type ClaimedNotification = Change & {
  /** Failed attempts of this version so far. */
  readonly attempts: number
  readonly firstAttemptAt: Date
}

type NotificationRow = {
  readonly family: string
  readonly object_id: string
  readonly inquiry_id: string | null
  readonly version: string
  readonly cause: string
  readonly event_id: string | null
  readonly status: string | null
  readonly previous_status: string | null
  readonly changed_at: Date
  readonly attempts: number
  readonly first_attempt_at: Date
}

/** Least pause between a failed attempt and one for a newer version. */
const NEWER_VERSION_PAUSE = "interval '1 second'"

/**
 * A newer version begins a schedule of its own. A claim stays: the attempt under way ends first. Of what is given, an older
 * version than the row's changes nothing.
 */
const keepSql = keepPrepared(`
INSERT INTO notifications AS n (consumer, object_id, version, family, inquiry_id, cause, event_id, status, previous_status, changed_at)
SELECT $1::text, c.* FROM unnest($2::text[], $3::text[]::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::text[]::timestamptz[]) AS c
ON CONFLICT (consumer, object_id) DO UPDATE SET version = excluded.version, family = excluded.family,
  inquiry_id = excluded.inquiry_id, cause = excluded.cause, event_id = excluded.event_id, status = excluded.status,
  previous_status = excluded.previous_status, changed_at = excluded.changed_at, state = 'pending', attempts = 0,
  first_attempt_at = NULL, last_error = NULL, last_status = NULL,
  next_attempt_at = CASE WHEN n.state = 'pending' AND n.attempts > 0
    THEN LEAST(n.next_attempt_at, now() + ${NEWER_VERSION_PAUSE}) ELSE now() END
WHERE n.version < excluded.version
RETURNING object_id, next_attempt_at <= clock_timestamp() + interval '1 millisecond' AS is_due`)

/** The newest change of each object, ordered by id so that no two writers wait for each other. */
function newestByObject(changes: readonly Change[]): readonly Change[] {
  const newest = new Map<string, Change>()
  for (const change of changes) {
    const known = newest.get(change.objectId)
    if (known === undefined || known.version < change.version) newest.set(change.objectId, change)
  }
  return [...newest.values()].toSorted((one, other) => (one.objectId < other.objectId ? -1 : 1))
}

/**
 * Keeps the newest change of each object for sending; a version that is not newer than the kept one changes nothing.
 * Resolves to the objects that are to be sent now.
 */
export async function keepNotifications(
  executor: SqlExecutor,
  consumer: string,
  changes: readonly Change[],
): Promise<readonly string[]> {
  const rows = newestByObject(changes)
  if (rows.length === 0) return []
  const kept = await executor.query<{ object_id: string; is_due: boolean }>(keepSql, [
    consumer,
    rows.map(({ objectId }) => objectId),
    rows.map(({ version }) => String(version)),
    rows.map(({ family }) => family),
    rows.map(({ inquiryId }) => inquiryId),
    rows.map(({ cause }) => cause),
    rows.map(({ eventId }) => eventId),
    rows.map(({ status }) => status),
    rows.map(({ previousStatus }) => previousStatus),
    rows.map(({ changedAt }) => changedAt.toISOString()),
  ])
  return kept.filter((row) => row.is_due).map((row) => row.object_id)
}

const IS_FREE = '(claimed_until IS NULL OR claimed_until < clock_timestamp())'

const claimSql = keepPrepared(`
UPDATE notifications SET claim = $3, claimed_until = clock_timestamp() + $4::float8 * interval '1 millisecond',
  first_attempt_at = COALESCE(first_attempt_at, clock_timestamp())
WHERE consumer = $1 AND object_id = $2 AND state = 'pending' AND next_attempt_at <= clock_timestamp() AND ${IS_FREE}
RETURNING family, object_id, inquiry_id, version::text AS version, cause, event_id, status, previous_status, changed_at,
  attempts, first_attempt_at`)

/** Identifies an attempt: the object and the claim under which it is made. */
export type Claim = { readonly consumer: string; readonly objectId: string; readonly claim: string }

/**
 * Claims an object for one attempt: nobody else claims it for `claimMs` milliseconds, or until the attempt is settled.
 * Resolves to null where nothing is due, or another attempt is under way.
 */
export async function claimNotification(
  database: Database,
  { consumer, objectId, claim, claimMs }: Claim & { readonly claimMs: number },
): Promise<ClaimedNotification | null> {
  const [row] = await database.sql.query<NotificationRow>(claimSql, [consumer, objectId, claim, claimMs])
  if (row === undefined) return null
  return {
    family: row.family,
    objectId: row.object_id,
    inquiryId: row.inquiry_id,
    version: BigInt(row.version),
    cause: row.cause,
    eventId: row.event_id,
    status: row.status,
    previousStatus: row.previous_status,
    changedAt: row.changed_at,
    attempts: row.attempts,
    firstAttemptAt: row.first_attempt_at,
  }
}

const sentSql = keepPrepared(`
DELETE FROM notifications WHERE consumer = $1 AND object_id = $2 AND version = $3::text::bigint RETURNING true AS is_gone`)
const releaseSql = keepPrepared(`
UPDATE notifications SET claim = NULL, claimed_until = NULL WHERE consumer = $1 AND object_id = $2 AND claim = $3
RETURNING state = 'pending' AND next_attempt_at <= clock_timestamp() AS is_due`)

/** Ends a claim without an outcome. Resolves to whether the object is to be sent now. */
export async function releaseNotification(database: Database, { consumer, objectId, claim }: Claim): Promise<boolean> {
  const [row] = await database.sql.query<{ is_due: boolean }>(releaseSql, [consumer, objectId, claim])
  return row?.is_due ?? false
}

/**
 * Forgets a version that was answered with 2xx, and ends the claim where a newer one came meanwhile. Resolves to whether
 * the object is to be sent again now. Safe to repeat.
 */
export async function settleSent(database: Database, claim: Claim, version: bigint): Promise<boolean> {
  const { consumer, objectId } = claim
  const gone = await database.sql.query(sentSql, [consumer, objectId, String(version)])
  return gone.length === 0 && (await releaseNotification(database, claim))
}

export type FailedAttempt = {
  readonly version: bigint
  /** A code. */
  readonly error: string
  /** Of the answer, where there was one. */
  readonly status: number | null
  /** Pause until the next attempt of this version, in ms. */
  readonly retryMs: number
  /** Pause until the first attempt of a version that came meanwhile, in ms. */
  readonly firstRetryMs: number
  /** Time from the first attempt of a version after which it is not tried any more, in ms. */
  readonly giveUpAfterMs: number
}

const failedSql = keepPrepared(`
WITH own AS (
  SELECT n.version = $4::text::bigint AS is_same, n.first_attempt_at + $9::float8 * interval '1 millisecond' AS ends_at
  FROM notifications n WHERE n.consumer = $1 AND n.object_id = $2 AND n.claim = $3 FOR UPDATE
)
UPDATE notifications n SET claim = NULL, claimed_until = NULL,
  attempts = CASE WHEN own.is_same THEN n.attempts + 1 ELSE n.attempts END,
  last_error = $5, last_status = $6::text::smallint,
  state = CASE WHEN own.is_same AND own.ends_at <= clock_timestamp() THEN 'failed' ELSE 'pending' END,
  next_attempt_at = CASE WHEN own.is_same
    THEN LEAST(clock_timestamp() + $7::float8 * interval '1 millisecond', own.ends_at)
    ELSE clock_timestamp() + $8::float8 * interval '1 millisecond' END
FROM own WHERE n.consumer = $1 AND n.object_id = $2
RETURNING n.state`)

/**
 * Notes a failed attempt and plans the next one; the last one is made when `giveUpAfterMs` have passed. Resolves to the
 * state; null where the claim had ended, so that another attempt decides.
 */
export async function settleFailed(
  database: Database,
  { consumer, objectId, claim }: Claim,
  attempt: FailedAttempt,
): Promise<'pending' | 'failed' | null> {
  const { version, error, status, retryMs, firstRetryMs, giveUpAfterMs } = attempt
  const [row] = await database.sql.query<{ state: 'pending' | 'failed' }>(failedSql, [
    consumer,
    objectId,
    claim,
    String(version),
    error,
    status === null ? null : String(status),
    retryMs,
    firstRetryMs,
    giveUpAfterMs,
  ])
  return row?.state ?? null
}

const dueSql = keepPrepared(`
SELECT object_id FROM notifications
WHERE consumer = $1 AND state = 'pending' AND next_attempt_at <= clock_timestamp() AND ${IS_FREE}
ORDER BY next_attempt_at LIMIT $2::int`)

/** Lists objects that are to be sent now and that nobody sends, those that wait longest first. */
export async function listDueNotifications(
  database: Database,
  consumer: string,
  limit: number,
): Promise<readonly string[]> {
  const rows = await database.sql.query<{ object_id: string }>(dueSql, [consumer, limit])
  return rows.map((row) => row.object_id)
}

const countsSql = keepPrepared(`
SELECT count(*) FILTER (WHERE state = 'pending')::int AS pending, count(*) FILTER (WHERE state = 'failed')::int AS failed,
  COALESCE(extract(epoch FROM clock_timestamp() - min(changed_at) FILTER (WHERE state = 'pending')), 0)::float8 AS "oldestSeconds"
FROM notifications WHERE consumer = $1`)

export type NotificationCounts = {
  readonly pending: number
  readonly failed: number
  /** Age of the oldest pending change in seconds; 0 where there is none. */
  readonly oldestSeconds: number
}

/** Counts the objects of a consumer by state. */
export async function countNotifications(database: Database, consumer: string): Promise<NotificationCounts> {
  const [row] = await database.sql.query<NotificationCounts>(countsSql, [consumer])
  return row ?? { pending: 0, failed: 0, oldestSeconds: 0 }
}

const probeSql = keepPrepared('SELECT consumer FROM notifications LIMIT 0')

/** Resolves while the table of notifications can be read. */
export async function probeNotifications(database: Database): Promise<void> {
  await database.sql.query(probeSql, [])
}
