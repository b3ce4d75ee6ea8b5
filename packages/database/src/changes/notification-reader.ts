import { CodedError } from '@persona-ingest/core'
import type { Database } from '../database.ts'
import { keepPrepared, type SqlExecutor } from '../sql/executor.ts'
import { keepNotifications, type Change } from './notifications.ts'

/** The cursor was moved by another process: what was read may have been sent already. Code: `CHANGE_CURSOR_MOVED`. */
export class ChangeCursorMovedError extends CodedError<'CHANGE_CURSOR_MOVED'> {
  override readonly name = 'ChangeCursorMovedError'

  constructor() {
    super('CHANGE_CURSOR_MOVED', 'another process moved the cursor of this consumer')
  }
}

const beginSql = keepPrepared(`
INSERT INTO change_consumers (name, tick)
SELECT $1::text, CASE WHEN $2 = 'start' THEN f.oldest_tick ELSE GREATEST(latest_change_tick(), f.oldest_tick) END
FROM change_feed f WHERE f.id = 1
ON CONFLICT (name) DO NOTHING`)
const cursorSql = keepPrepared('SELECT tick::text AS tick FROM change_consumers WHERE name = $1')
const lockedCursorSql = keepPrepared('SELECT tick::text AS tick FROM change_consumers WHERE name = $1 FOR UPDATE')

/**
 * Gives the cursor of a consumer. A new one begins at the newest tick (`now`) or at the oldest that is kept (`start`), which
 * is stored at once.
 */
export async function beginConsumer(database: Database, consumer: string, from: 'now' | 'start'): Promise<bigint> {
  await database.sql.query(beginSql, [consumer, from])
  return await readCursor(database.sql, cursorSql, consumer)
}

async function readCursor(executor: SqlExecutor, sql: string, consumer: string): Promise<bigint> {
  const [row] = await executor.query<{ tick: string }>(sql, [consumer])
  if (row === undefined) throw new ChangeCursorMovedError()
  return BigInt(row.tick)
}

/** A connection as `commit(client)` of a batch takes it. */
export type BatchClient = {
  query(text: string, values?: readonly unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number }>
}

export type ChangeBatch = {
  readonly changes: readonly Change[]
  /** Moves the cursor. */
  readonly commit: (client: BatchClient) => Promise<void>
}

/**
 * Keeps the changes of a batch for sending and moves the cursor, in one transaction. `cursor` is the place from which the
 * batch was read. Resolves to the objects that are to be sent now, and the new cursor; throws a
 * {@link ChangeCursorMovedError} where another process was faster.
 */
export async function takeChanges(
  database: Database,
  { consumer, cursor, batch }: { readonly consumer: string; readonly cursor: bigint; readonly batch: ChangeBatch },
): Promise<{ readonly dueIds: readonly string[]; readonly cursor: bigint }> {
  return await database.sql.transaction(async (executor) => {
    if ((await readCursor(executor, lockedCursorSql, consumer)) !== cursor) throw new ChangeCursorMovedError()
    const dueIds = await keepNotifications(executor, consumer, batch.changes)
    await batch.commit({
      async query(text, values = []) {
        const rows = await executor.query<Record<string, unknown>>(text, values)
        return { rows: [...rows], rowCount: rows.length }
      },
    })
    return { dueIds, cursor: await readCursor(executor, cursorSql, consumer) }
  })
}

const holdSql = keepPrepared(`
INSERT INTO notification_readers AS r (consumer, holder, held_until)
VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 millisecond')
ON CONFLICT (consumer) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
WHERE r.holder = excluded.holder OR r.held_until < clock_timestamp()
RETURNING true AS is_held`)
const leaveSql = keepPrepared('DELETE FROM notification_readers WHERE consumer = $1 AND holder = $2')

type Holder = { readonly consumer: string; readonly holder: string }

/** Becomes or stays the one process that reads for a consumer, for `holdMs` milliseconds. Resolves to whether it is. */
export async function holdReading(
  database: Database,
  { consumer, holder, holdMs }: Holder & { readonly holdMs: number },
): Promise<boolean> {
  return (await database.sql.query(holdSql, [consumer, holder, holdMs])).length > 0
}

/** Lets another process read at once. */
export async function leaveReading(database: Database, { consumer, holder }: Holder): Promise<void> {
  await database.sql.query(leaveSql, [consumer, holder])
}
