import type { Sql, SqlExecutor } from './executor.ts'
import { isUniqueViolation, sqlStateOf } from './failure.ts'

/** Whether the state that a write was planned on has changed: SQLSTATE PI001, or an event id that was stored meanwhile. */
export function isOutdated(error: unknown): boolean {
  return sqlStateOf(error) === 'PI001' || isUniqueViolation(error, 'events')
}

/**
 * Runs work in one transaction that takes the shared lock before it reads, so that no exclusive write comes between.
 * Batches of events are written with fewer round trips (`storeEvents`).
 */
export async function inSharedWrite<T>(sql: Sql, work: (executor: SqlExecutor) => Promise<T>): Promise<T> {
  return sql.transaction(async (executor) => {
    await executor.query('SELECT share_writes()::text', [])
    return work(executor)
  })
}

/**
 * Why rows change, as `changes` tells it. `none`: the values stay, such as where documents are encrypted.
 *
 * @see docs/contract.md#6-change-feed-what-a-users-application-reads
 */
export type ChangeCause = 'event' | 'replay' | 'redaction' | 'erasure' | 'rebuild' | 'none'

/** Sets the cause that the triggers tell until the transaction ends, or until the next call. */
export async function setChangeCause(executor: SqlExecutor, cause: ChangeCause): Promise<void> {
  await executor.query(`SELECT set_config('persona_ingest.cause', $1, true)`, [cause])
}

/**
 * Runs work in one transaction while no other write runs; writes that were planned before are planned again. A large
 * redaction may take long, so the transaction has no time limit as a whole. `cause` is announced with the rows that change.
 *
 * @see docs/adr/0002-shared-and-exclusive-writes.md
 */
export async function inExclusiveWrite<T>(
  sql: Sql,
  cause: ChangeCause,
  work: (executor: SqlExecutor) => Promise<T>,
): Promise<T> {
  return sql.transaction(async (executor) => {
    await executor.query('SELECT begin_exclusive_write()::text', [])
    await setChangeCause(executor, cause)
    return work(executor)
  })
}
