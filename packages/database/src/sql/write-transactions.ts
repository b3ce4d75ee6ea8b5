import type { Sql, SqlExecutor } from './executor.ts'
import { isUniqueViolation, sqlStateOf } from './failure.ts'

/** PI001 is our own word that what was read is no longer so; an event id stored meanwhile says the same. */
export function isOutdated(error: unknown): boolean {
  return sqlStateOf(error) === 'PI001' || isUniqueViolation(error, 'events')
}

/**
 * Runs work in one transaction, in which everything is read after the lock is held: no write that runs alone comes
 * between, so nothing has to be read again. Events are written with fewer round trips ({@link storeEvents}).
 */
export async function inSharedWrite<T>(sql: Sql, work: (executor: SqlExecutor) => Promise<T>): Promise<T> {
  return sql.transaction(async (executor) => {
    await executor.query('SELECT share_writes()::text', [])
    return work(executor)
  })
}

/**
 * Runs work in one transaction while no other writer of events is at work; those that have read before read again.
 *
 * A redaction of much takes its time: a limit as a whole, as Prisma's transactions have, would end it again and again, and
 * each attempt would hold the others off for as long.
 *
 * @see docs/adr/0002-shared-and-exclusive-writes.md
 */
export async function inExclusiveWrite<T>(sql: Sql, work: (executor: SqlExecutor) => Promise<T>): Promise<T> {
  return sql.transaction(async (executor) => {
    await executor.query('SELECT begin_exclusive_write()::text', [])
    return work(executor)
  })
}
