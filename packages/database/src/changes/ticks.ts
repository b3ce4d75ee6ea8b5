import type { Database } from '../database.ts'
import { keepPrepared } from '../sql/executor.ts'

/**
 * The result of an attempt to make a tick. `ticked`: readers were notified. `nothing`: no change became visible since the
 * last tick. `early`: the last tick is younger than 50 ms. `busy`: another session makes one.
 */
export type TickOutcome = 'ticked' | 'nothing' | 'early' | 'busy'

const makeTickSql = keepPrepared('SELECT outcome FROM make_change_tick()')

/**
 * Makes a tick of the change feed, in one transaction of its own. After a restore or a promotion of the server it forgets
 * older ticks. Rejects with the database's error.
 *
 * @see docs/contract.md#6-change-feed-what-a-users-application-reads
 */
export async function makeChangeTick(database: Database): Promise<TickOutcome> {
  const [row] = await database.sql.query<{ outcome: TickOutcome }>(makeTickSql, [])
  return row?.outcome ?? 'nothing'
}

/** A full partition is emptied as a whole, so that six of eight hold what is kept, one is filled, and one is empty. */
const SLOTS_KEPT = 6

const dropSql = `
SELECT is_finished AS "isFinished", emptied FROM drop_changes(
  clock_timestamp() - $1::float8 * interval '1 day', $1::float8 / ${SLOTS_KEPT} * interval '1 day')`

/**
 * Drops changes whose tick is older than `keepDays` days, with their ticks. It never waits longer than 200 ms for a lock; a
 * partition that is in use is emptied by a later call. Resolves to the number of partitions that were emptied.
 */
export async function dropOldChanges(database: Database, keepDays: number): Promise<number> {
  for (let emptied = 0; ;) {
    const [row] = await database.sql.query<{ isFinished: boolean; emptied: number }>(dropSql, [keepDays])
    emptied += row?.emptied ?? 0
    if (row?.isFinished !== false) return emptied
  }
}
