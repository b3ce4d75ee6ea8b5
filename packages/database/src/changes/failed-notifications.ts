import type { Database } from '../database.ts'
import { keepPrepared } from '../sql/executor.ts'

/** An object whose newest change was given up; the members are those of `ops changes failed --json`. */
export type FailedNotification = {
  readonly consumer: string
  readonly object_id: string
  readonly family: string
  readonly inquiry_id: string | null
  readonly version: number
  readonly status: string | null
  readonly cause: string
  readonly event_id: string | null
  readonly changed_at: Date
  readonly attempts: number
  readonly first_attempt_at: Date | null
  /** A code. */
  readonly last_error: string | null
  /** Of the last answer; null where there was none. */
  readonly last_status: number | null
}

export type FailedNotificationPage = {
  readonly failed: readonly FailedNotification[]
  /** Whether there are more. */
  readonly hasMore: boolean
}

const listSql = keepPrepared(`
SELECT consumer, object_id, family, inquiry_id, version::float8 AS version, status, cause, event_id, changed_at, attempts,
  first_attempt_at, last_error, last_status
FROM notifications WHERE state = 'failed' AND ($1::text IS NULL OR consumer = $1)
ORDER BY changed_at DESC, consumer, object_id LIMIT $2::int`)

/** Lists objects that are not tried again by themselves, the newest change first. */
export async function listFailedNotifications(
  database: Database,
  { consumer, limit }: { readonly consumer?: string | undefined; readonly limit: number },
): Promise<FailedNotificationPage> {
  const rows = await database.sql.query<FailedNotification>(listSql, [consumer ?? null, limit + 1])
  return { failed: rows.slice(0, limit), hasMore: rows.length > limit }
}

/** Objects by id, or all that are listed as failed. */
export type ResendSelection = { readonly objectIds: readonly string[] } | { readonly isAll: true }

const resendSql = keepPrepared(`
UPDATE notifications SET state = 'pending', attempts = 0, first_attempt_at = NULL, next_attempt_at = now(),
  last_error = NULL, last_status = NULL
WHERE state = 'failed' AND ($1::text IS NULL OR consumer = $1) AND ($2::text[] IS NULL OR object_id = ANY($2::text[]))
RETURNING object_id`)

export type ResendResult = {
  /** Objects that are sent again; one of several consumers stands here once for each. */
  readonly resent: readonly string[]
  /** Objects of the selection that are not listed as failed. */
  readonly notListed: readonly string[]
}

/** Begins the attempts anew for objects that are listed as failed. Safe to repeat. */
export async function resendNotifications(
  database: Database,
  { consumer, selection }: { readonly consumer?: string | undefined; readonly selection: ResendSelection },
): Promise<ResendResult> {
  const objectIds = 'objectIds' in selection ? [...new Set(selection.objectIds)] : null
  const rows = await database.sql.query<{ object_id: string }>(resendSql, [consumer ?? null, objectIds])
  const resent = rows.map((row) => row.object_id).toSorted()
  return { resent, notListed: (objectIds ?? []).filter((id) => !resent.includes(id)) }
}
