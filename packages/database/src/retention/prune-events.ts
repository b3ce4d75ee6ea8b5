import { prunedPayload } from '@persona-ingest/persona'
import { encodeRows, PersonalJson } from '../store/projection-row.ts'
import type { MaintenanceConnection } from '../sql/maintenance-connection.ts'
import { keepPrepared } from '../sql/prepared-statements.ts'
import { eventChunks, portionSql, readInPortions, type EventSize } from '../log/read-in-portions.ts'
import { seemsChanged, storedEventFields, tryReading, type StoredEventRow } from '../log/stored-event.ts'

const PAGE = 5_000

/** Those pruned are gone from it, those that can't be read are passed over: each page begins behind the last one. */
const pageSql = keepPrepared(`
SELECT id, pg_column_size(payload) AS bytes, received_at::text AS "receivedAt" FROM events
WHERE pruned_at IS NULL AND received_at < $1::timestamptz AND received_at >= $2::text::timestamptz
  AND (received_at, id) > ($2::text::timestamptz, $3)
ORDER BY received_at, id LIMIT ${PAGE}`)

/**
 * As every writer does: an erasure runs alone and must not find an event half read by us, or it would write back what we
 * took, and we what it took.
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

/** Leaves the skeletons of all events received before a time, oldest first, a chunk at a time. */
export async function pruneEvents(
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
    if (page.length < PAGE) return { events, unreadableIds }
    last = page.at(-1) as Place
  }
}
