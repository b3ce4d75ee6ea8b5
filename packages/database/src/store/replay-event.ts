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
 * What a replay came to. `applied`: the event's object holds its snapshot now and did not before; `unchanged`: it did, or
 * holds a newer one; `missing`: no such event in the log.
 */
export type ReplayOutcome = 'applied' | 'unchanged' | 'missing'

export type ReplayOptions = {
  /** Resolves when there is memory to read this body and write its event; what it resolves to ends that use. */
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
 * Processes an event of the log again: what it tells of each object is taken over wherever a row is missing or older,
 * lost claims and links are written again, and a redaction that reaches it is applied. The event's own row in the log,
 * its outcome included, stays as it is. Safe to repeat, at any time, in any order. Large events are read and written one
 * at a time.
 *
 * Mends what is missing or behind; values changed by hand under an unchanged clock are what a rebuild mends.
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
