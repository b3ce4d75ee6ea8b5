import type { Database } from '../database.ts'
import { storeEvents } from './store-events.ts'
import pLimit from 'p-limit'
import {
  readStoredEvent,
  storedBody,
  storedEventColumns,
  storedEventFields,
  type StoredEventRow,
} from '../log/stored-event.ts'

/**
 * The outcome of a replay. `applied`: the row holds the event's snapshot now and did not before. `unchanged`: the row held
 * it, or holds a newer one. `missing`: the log has no such event.
 */
export type ReplayOutcome = 'applied' | 'unchanged' | 'missing'

export type ReplayOptions = {
  /** Resolves when there is memory for this body and its event, with a function that releases the memory. */
  readonly takeMemory?: ((body: Uint8Array) => Promise<() => void>) | undefined
}

/**
 * Bytes of a payload in its row, compressed where PostgreSQL does so. Measured: 24,000 small objects take 4.5 bytes each,
 * so that an event below has some 3,500 at most. A batch of new events has up to 4,000.
 */
const LARGE_BYTES = 16_000
/** One large statement at a time leaves connections to new events and to probes; small ones take milliseconds. */
const inTurn = pLimit(1)

const smallEventSql = `SELECT ${storedEventFields},
  CASE WHEN pg_column_size(payload) < ${LARGE_BYTES} THEN payload::text END AS payload FROM events WHERE id = $1`
const eventSql = `SELECT ${storedEventColumns} FROM events WHERE id = $1`

async function replayStored(
  database: Database,
  stored: StoredEventRow,
  { takeMemory }: ReplayOptions,
): Promise<ReplayOutcome> {
  const { keys } = database.sql
  const body = storedBody(stored, keys)
  const giveBack = await takeMemory?.(body)
  try {
    const outcomes = await storeEvents(database, [readStoredEvent(stored, keys, body)], { isReplay: true })
    return outcomes.get(stored.id) === 'applied' ? 'applied' : 'unchanged'
  } finally {
    giveBack?.()
  }
}

async function replayLarge(database: Database, eventId: string, options: ReplayOptions): Promise<ReplayOutcome> {
  const [stored] = await database.sql.query<StoredEventRow>(eventSql, [eventId])
  return stored === undefined ? 'missing' : await replayStored(database, stored, options)
}

/**
 * Processes an event of the log again. Rows that are missing or older get its snapshots; lost claims and links are written
 * again; a redaction that reaches it is applied. The event's own row in the log stays. Safe to repeat, in any order.
 *
 * Large events are read and written one at a time. Values that were changed by hand under the same clock need a rebuild.
 */
export async function replayEvent(
  database: Database,
  eventId: string,
  options: ReplayOptions = {},
): Promise<ReplayOutcome> {
  type MaybeLarge = Omit<StoredEventRow, 'payload'> & { readonly payload: string | null }
  const [found] = await database.sql.query<MaybeLarge>(smallEventSql, [eventId])
  if (found === undefined) return 'missing'
  const { payload } = found
  if (payload === null) return await inTurn(() => replayLarge(database, eventId, options))
  return await replayStored(database, { ...found, payload }, options)
}
