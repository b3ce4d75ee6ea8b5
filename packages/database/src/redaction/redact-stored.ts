import {
  reducedObjectIn,
  reduceEvent,
  type Clock,
  type RedactionLookup,
  type PersonaEvent,
} from '@persona-ingest/persona'
import { portionSql, readInPortions } from '../log/read-in-portions.ts'
import { storedErasureLookup } from '../log/stored-erasures.ts'
import { isNoEvent, storedEventFields, tryReading, type StoredEventRow } from '../log/stored-event.ts'
import { inPages, decryptOrReport, type SqlExecutor, type UndecryptableRow } from '../sql/executor.ts'
import { encodeRows, isoTime, PersonalJson, RawJson, type Row } from '../sql/row-values.ts'
import { findUnloggedRows, redactRows, type RedactedRow, type RowSkeleton } from './redact-rows.ts'

/** Events and rows that held more than their skeleton. */
export type RedactedCopies = { readonly eventIds: readonly string[]; readonly rows: readonly RedactedRow[] }

/** A payload may be 2 MiB, and an account may stand in thousands of events. */
const PAGE_SIZE = 50

/**
 * Events that contain one of the objects, from the object's earlier redaction on, which has reduced the older ones. A union
 * of two index scans: one condition with OR reads the whole log, ten times as long as all else at 40,000 events.
 */
const eventsOfObjectsSql = `
WITH raised AS (SELECT * FROM json_to_recordset($1::json) AS sent(id text, since timestamptz))
SELECT e.id FROM raised JOIN events e ON e.resource_id = raised.id
WHERE raised.since IS NULL OR e.created_at >= raised.since
UNION
SELECT e.id FROM raised JOIN event_objects o ON o.object_id = raised.id JOIN events e ON e.id = o.event_id
WHERE raised.since IS NULL OR e.created_at >= raised.since`

const readEventsSql = portionSql(storedEventFields)

const reduceEventsSql = `
UPDATE events SET payload = sent.payload, original_body = NULL
FROM json_to_recordset($1::json) AS sent(id text, payload jsonb)
WHERE events.id = sent.id AND (events.payload <> sent.payload OR events.original_body IS NOT NULL)
RETURNING events.id`

async function findEvents(executor: SqlExecutor, raised: ReadonlyMap<string, Clock>, erasedBefore: RedactionLookup) {
  const rows = [...raised.keys()].map((id): Row => {
    const before = erasedBefore(id)
    return { id, since: before === null ? null : isoTime(before.createdAtMs) }
  })
  const found = await executor.query<{ id: string }>(eventsOfObjectsSql, [encodeRows(rows, executor.keys)])
  return found.map(({ id }) => id)
}

type ReadEvents = {
  readonly events: readonly PersonaEvent[]
  readonly unreadableIds: readonly string[]
  /** They stay as they are, since the right key makes them events again. */
  readonly undecryptableIds: readonly string[]
}

function readEvents(executor: SqlExecutor, stored: readonly StoredEventRow[]): ReadEvents {
  const undecryptableIds: string[] = []
  const onUndecryptable =
    executor.onUndecryptable &&
    ((row: UndecryptableRow) => (undecryptableIds.push(row.id), executor.onUndecryptable?.(row)))
  const read = stored.flatMap((row) => {
    const { id } = row
    const decrypt = () => ({ id, event: tryReading(row, executor.keys, isNoEvent) })
    return decryptOrReport({ ...executor, onUndecryptable }, { table: 'events', id }, decrypt) ?? []
  })
  return {
    undecryptableIds,
    events: read.flatMap(({ id, event }) => (event?.id === id ? [event] : [])),
    unreadableIds: read.flatMap(({ id, event }) => (event?.id === id ? [] : [id])),
  }
}

function skeletonsIn(event: PersonaEvent, reduced: PersonaEvent, erasedAt: RedactionLookup): readonly RowSkeleton[] {
  const isReduced = reducedObjectIn(event, erasedAt)
  return [reduced.primary, ...reduced.included]
    .filter((object) => isReduced(object.id))
    .map(({ id, snapshot }) => {
      return { family: snapshot.family, id, eventId: event.id, relationships: snapshot.relationships }
    })
}

type ErasedPage = RedactedCopies & Pick<ReadEvents, 'undecryptableIds'>

async function erasePage(
  executor: SqlExecutor,
  stored: readonly StoredEventRow[],
  raised: ReadonlyMap<string, Clock>,
): Promise<ErasedPage> {
  const { events, unreadableIds, undecryptableIds } = readEvents(executor, stored)
  // Another object of an event may be the snapshot of its own redaction, which stays.
  const standing = events.flatMap((event) => [event.primary, ...event.included].map((object) => object.id))
  const erasedAt = await storedErasureLookup(executor, standing, raised)
  // A payload that was changed by hand and is no event can't be reduced, so it is emptied.
  const payloads: Row[] = unreadableIds.map((id) => ({ id, payload: new RawJson('{}') }))
  const skeletons: RowSkeleton[] = []
  for (const event of events) {
    const reduced = reduceEvent(event, erasedAt)
    if (reduced === event) continue
    payloads.push({ id: event.id, payload: new PersonalJson(reduced.payloadText, ['events', event.id, 'payload']) })
    for (const skeleton of skeletonsIn(event, reduced, erasedAt)) skeletons.push(skeleton)
  }
  if (payloads.length === 0) return { eventIds: [], rows: [], undecryptableIds }
  const written = await executor.query<{ id: string }>(reduceEventsSql, [encodeRows(payloads, executor.keys)])
  return { eventIds: written.map(({ id }) => id), rows: await redactRows(executor, skeletons), undecryptableIds }
}

/**
 * Reduces stored copies of objects that a redaction reaches: events of the log, and rows with a snapshot of such an event.
 * `raised` holds the new erasure clocks of the objects, `erasedBefore` their earlier ones. Only within an exclusive write.
 */
export async function redactStoredCopies(
  executor: SqlExecutor,
  raised: ReadonlyMap<string, Clock>,
  erasedBefore: RedactionLookup,
): Promise<RedactedCopies> {
  if (raised.size === 0) return { eventIds: [], rows: [] }
  const eventIds: string[] = []
  const undecryptableIds: string[] = []
  const rows: RedactedRow[] = []
  for (const page of inPages(await findEvents(executor, raised, erasedBefore), PAGE_SIZE)) {
    for await (const stored of readInPortions<StoredEventRow>(executor, readEventsSql, page)) {
      const erased = await erasePage(executor, stored, raised)
      eventIds.push(...erased.eventIds)
      undecryptableIds.push(...erased.undecryptableIds)
      // A page may have more objects than arguments fit on the stack.
      for (const row of erased.rows) rows.push(row)
    }
  }
  // Last, since emptied and undecryptable events lead to no row.
  for (const row of await redactRows(executor, await findUnloggedRows(executor, raised, undecryptableIds)))
    rows.push(row)
  return { eventIds, rows }
}
