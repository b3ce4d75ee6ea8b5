import { prunedPayload } from '@persona-ingest/persona'
import { eventChunks, portionSql, readInPortions, type EventSize } from '../log/read-in-portions.ts'
import { seemsChanged, storedEventFields, tryReading, type StoredEventRow } from '../log/stored-event.ts'
import { keepPrepared, type SqlExecutor } from '../sql/executor.ts'
import { type MaintenanceConnection, type MaintenanceOptions, openMaintenance } from '../sql/maintenance-connection.ts'
import { encodeRows, PersonalJson } from '../sql/row-values.ts'

/** Limits of age; null keeps all rows of a kind. */
export type RetentionLimits = {
  /** Events received before this time keep only the skeleton of their payload. */
  readonly eventsBefore: Date | null
  /** Dead letters that were replayed or discarded before this time are deleted. */
  readonly deadLettersBefore: Date | null
}

export type PruneReport = {
  readonly events: number
  readonly deadLetters: number
  /** Events that were changed by hand and can't be read; they stay as they are. */
  readonly unreadableIds: readonly string[]
}

export type PruneProgress = { readonly phase: 'events' | 'dead letters'; readonly done: number; readonly total: number }

export type PruneOptions = RetentionLimits &
  MaintenanceOptions & {
    /** Stops between two chunks; the next call continues. */
    readonly signal?: AbortSignal | undefined
    readonly onProgress?: ((progress: PruneProgress) => void) | undefined
  }

const countSql = `
SELECT (SELECT count(*)::float8 FROM events WHERE pruned_at IS NULL AND received_at < $1::timestamptz) AS events,
  (SELECT count(*)::float8 FROM dead_letters WHERE state <> 'open' AND resolved_at < $2::timestamptz) AS "deadLetters"`

type Counts = { readonly events: number; readonly deadLetters: number }

async function count(connection: MaintenanceConnection, limits: RetentionLimits): Promise<Counts> {
  const parameters = [limits.eventsBefore, limits.deadLettersBefore].map((time) => time?.toISOString() ?? null)
  const [counts] = await connection.query<Counts>(countSql, parameters)
  return counts ?? { events: 0, deadLetters: 0 }
}

const DEAD_LETTERS_PER_PAGE = 500

/** Checks the state again under the row's lock, since a dead letter may be open again after another failure. */
const deleteSql = `
WITH page AS (
  SELECT id FROM dead_letters
  WHERE dead_letters.id > $2::text::bigint AND state <> 'open' AND resolved_at < $1::timestamptz
  ORDER BY dead_letters.id LIMIT ${DEAD_LETTERS_PER_PAGE} FOR UPDATE
), gone AS (
  DELETE FROM dead_letters WHERE id IN (SELECT id FROM page) AND state <> 'open' AND resolved_at < $1::timestamptz
)
SELECT count(*)::int AS count, max(id)::text AS last FROM page`

/** Deletes dead letters that were replayed or discarded before a time, a page at a time. */
async function pruneDeadLetters(executor: SqlExecutor, before: Date, onPage: (done: number) => void): Promise<number> {
  let gone = 0
  for (let after = '0'; ;) {
    const [page] = await executor.query<{ count: number; last: string | null }>(deleteSql, [
      before.toISOString(),
      after,
    ])
    gone += page?.count ?? 0
    onPage(gone)
    const last = page?.last ?? null
    if (last === null) return gone
    after = last
  }
}

const EVENTS_PER_PAGE = 5_000

/** Each page begins behind the last one, since events that can't be read stay in the list. */
const pageSql = keepPrepared(`
SELECT id, pg_column_size(payload) AS bytes, received_at::text AS "receivedAt" FROM events
WHERE pruned_at IS NULL AND received_at < $1::timestamptz AND received_at >= $2::text::timestamptz
  AND (received_at, id) > ($2::text::timestamptz, $3)
ORDER BY received_at, id LIMIT ${EVENTS_PER_PAGE}`)

/**
 * An erasure runs alone, so that erasure and prune never write back values that the other has removed.
 */
const shareSql = 'SELECT pg_advisory_xact_lock_shared(723114601)'
const readSql = portionSql(storedEventFields, 'pruned_at IS NULL')

const pruneSql = keepPrepared(`
UPDATE events SET payload = sent.payload, original_body = NULL, pruned_at = clock_timestamp()
FROM jsonb_to_recordset($1::jsonb) AS sent(id text, payload jsonb) WHERE events.id = sent.id`)

type Pruned = { readonly events: number; readonly unreadableIds: readonly string[] }

async function prunePortion(connection: MaintenanceConnection, rows: readonly StoredEventRow[]): Promise<Pruned> {
  const read = rows.map((row) => ({ id: row.id, event: tryReading(row, connection.keys, seemsChanged) }))
  const pruned = read.flatMap(({ id, event }) =>
    event === null ? [] : [{ id, payload: new PersonalJson(prunedPayload(event), ['events', id, 'payload']) }],
  )
  await connection.query(pruneSql, [encodeRows(pruned, connection.keys)])
  return {
    events: pruned.length,
    unreadableIds: read.filter(({ event }) => event === null).map(({ id }) => id),
  }
}

async function pruneChunk(connection: MaintenanceConnection, ids: readonly string[]): Promise<Pruned> {
  return connection.transaction('latest', async () => {
    await connection.query(shareSql, [])
    const unreadableIds: string[] = []
    let events = 0
    for await (const rows of readInPortions<StoredEventRow>(connection, readSql, ids)) {
      const pruned = await prunePortion(connection, rows)
      events += pruned.events
      unreadableIds.push(...pruned.unreadableIds)
    }
    return { events, unreadableIds }
  })
}

type Place = EventSize & { readonly receivedAt: string }

/** Reduces events received before a time to their skeletons, oldest first, in chunks. */
async function pruneEvents(
  connection: MaintenanceConnection,
  before: Date,
  onChunk: (done: number) => void,
): Promise<Pruned> {
  const unreadableIds: string[] = []
  let events = 0
  let last: Pick<Place, 'id' | 'receivedAt'> = { id: '', receivedAt: '-infinity' }
  for (;;) {
    const page = await connection.query<Place>(pageSql, [before.toISOString(), last.receivedAt, last.id])
    for (const ids of eventChunks(page)) {
      const pruned = await pruneChunk(connection, ids)
      events += pruned.events
      unreadableIds.push(...pruned.unreadableIds)
      onChunk(events)
    }
    if (page.length < EVENTS_PER_PAGE) return { events, unreadableIds }
    last = page.at(-1) as Place
  }
}

async function withMaintenance<T>(
  options: MaintenanceOptions,
  work: (connection: MaintenanceConnection) => Promise<T>,
) {
  const connection = await openMaintenance(options, 'public')
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}

/** Counts the rows that a prune would reduce or delete. */
export async function countPrunable(databaseUrl: string, limits: RetentionLimits): Promise<PruneReport> {
  // Counting decrypts nothing.
  return withMaintenance({ databaseUrl, encryptionKeys: [] }, async (connection) => ({
    ...(await count(connection, limits)),
    unreadableIds: [],
  }))
}

/**
 * Removes payloads of old events, and old resolved dead letters. Projections, skeletons of events and links stay, and a
 * redelivery is still a duplicate.
 *
 * It commits in short transactions and may be interrupted and repeated at any time. Rejects with `MAINTENANCE_BUSY`, the
 * reason of the signal, or the database's error.
 *
 * @see docs/adr/0008-pruned-events-keep-their-skeleton.md
 */
export async function prune(options: PruneOptions): Promise<PruneReport> {
  const { eventsBefore, deadLettersBefore, onProgress = () => undefined } = options
  return withMaintenance(options, async (connection) => {
    const total = await count(connection, options)
    const step = (phase: PruneProgress['phase'], of: number) => (done: number) => {
      onProgress({ phase, done, total: Math.max(of, done) })
      options.signal?.throwIfAborted()
    }
    const pruned =
      eventsBefore === null
        ? { events: 0, unreadableIds: [] }
        : await pruneEvents(connection, eventsBefore, step('events', total.events))
    const deadLetters =
      deadLettersBefore === null
        ? 0
        : await pruneDeadLetters(connection, deadLettersBefore, step('dead letters', total.deadLetters))
    return { ...pruned, deadLetters }
  })
}
