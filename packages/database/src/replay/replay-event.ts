import type { PrismaClient } from '../generated/client.ts'
import { sqlExecutor } from '../ingest/sql-executor.ts'
import { storeEvents } from '../ingest/store-events.ts'
import { readStoredEvent, storedEventColumns, type StoredEventRow } from './stored-event.ts'

/**
 * What a replay came to. `applied`: the event's object holds its snapshot now and did not before; `unchanged`: it did, or
 * holds a newer one; `missing`: no such event in the log.
 */
export type ReplayOutcome = 'applied' | 'unchanged' | 'missing'

const eventSql = `SELECT ${storedEventColumns} FROM events WHERE id = $1`

/**
 * Processes an event of the log again: what it tells of each object is taken over wherever a row is missing or older,
 * lost claims and links are written again, and a redaction that reaches it is applied. The event's own row in the log,
 * its outcome included, stays as it is. Safe to repeat, at any time, in any order.
 *
 * Mends what is missing or behind; values changed by hand under an unchanged clock are what a rebuild mends.
 */
export async function replayEvent(prisma: PrismaClient, eventId: string): Promise<ReplayOutcome> {
  const executor = sqlExecutor(prisma)
  const [stored] = await executor.query<StoredEventRow>(eventSql, [eventId])
  if (stored === undefined) return 'missing'
  const outcomes = await storeEvents(prisma, [readStoredEvent(stored, executor.keys)], { isReplay: true })
  return outcomes.get(eventId) === 'applied' ? 'applied' : 'unchanged'
}
