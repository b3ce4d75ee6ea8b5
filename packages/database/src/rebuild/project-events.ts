import { batchIds, reduceEvent, type RedactionLookup, type PersonaEvent } from '@persona-ingest/persona'
import { readStoredState } from '../store/stored-state.ts'
import { moveRows } from '../store/move-rows.ts'
import { projectionTables } from '../tables.ts'
import { encodeRows } from '../sql/row-values.ts'
import { keepPrepared, type SqlExecutor } from '../sql/executor.ts'
import { upsertSql } from '../store/write-sql.ts'
import { planWrite } from '../store/plan-write.ts'
import { eventChunks, type EventSize, portionSql, readInPortions } from '../log/read-in-portions.ts'
import { logRowFields, noteFaulty, readLogRow, type LogRow } from './faulty-events.ts'
import { noteProgress, SHADOW_SCHEMA, type ShadowProgress } from './shadow-tables.ts'
import type { MaintenanceConnection } from '../sql/maintenance-connection.ts'

const eventsSql = portionSql(logRowFields)

const erasuresSql = keepPrepared(`
SELECT id, erased_event_id AS "eventId", (extract(epoch FROM erased_created_at) * 1000)::float8 AS "createdAtMs",
  erased_rank::int AS rank
FROM public.objects WHERE id = ANY($1::text[]) AND erased_event_id IS NOT NULL`)

type StoredErasure = {
  readonly id: string
  readonly eventId: string
  readonly createdAtMs: number
  readonly rank: number
}

/**
 * The upserts of ingestion, into the shadow tables. Each object is noted with its erasure, in one snapshot with the payloads,
 * so that a later erasure is found.
 */
const projectSql = keepPrepared(`
WITH gate AS (SELECT 1), inquiries_written AS (
${upsertSql(projectionTables.inquiry, '$1', 'by-trigger')}
), verifications_written AS (
${upsertSql(projectionTables.verification, '$2', 'by-trigger')}
), resources_written AS (
${upsertSql(projectionTables.resource, '$3', 'by-trigger')}
), objects_written AS (
INSERT INTO ${SHADOW_SCHEMA}.objects (id, family, erased_event_id, erased_created_at, erased_rank)
SELECT sent.id, sent.family, live.erased_event_id, live.erased_created_at, live.erased_rank
FROM jsonb_to_recordset($4::jsonb) AS sent(id text, family text) LEFT JOIN public.objects live ON live.id = sent.id
ON CONFLICT DO NOTHING
)
INSERT INTO ${SHADOW_SCHEMA}.projected SELECT e.id, e.xmin::text FROM public.events e WHERE e.id = ANY($5::text[])
ON CONFLICT DO NOTHING`)

async function readErasures(executor: SqlExecutor, objectIds: readonly string[]): Promise<RedactionLookup> {
  const rows = await executor.query<StoredErasure>(erasuresSql, [objectIds])
  const erasures = new Map(rows.map(({ id, ...clock }) => [id, clock]))
  return (objectId) => erasures.get(objectId) ?? null
}

async function readPortion(executor: SqlExecutor, rows: readonly LogRow[]): Promise<readonly PersonaEvent[]> {
  const read = rows.map((row) => readLogRow(row, executor.keys))
  await noteFaulty(
    executor,
    read.flatMap((row) => ('faulty' in row ? [row.faulty] : [])),
  )
  const events = read.flatMap((row) => ('event' in row ? [row.event] : []))
  const erasedAt = await readErasures(executor, batchIds(events).objectIds)
  return events.map((event) => reduceEvent(event, erasedAt))
}

/**
 * Reads events of the log, reduced by the stored erasures, in portions that fit into memory. Faulty events are noted and
 * left out.
 */
export async function* readLogEvents(
  executor: SqlExecutor,
  ids: readonly string[],
): AsyncGenerator<readonly PersonaEvent[]> {
  for await (const rows of readInPortions<LogRow>(executor, eventsSql, ids)) yield await readPortion(executor, rows)
}

/**
 * Projects events into the shadow tables, with the plan and the statements of ingestion. Safe to repeat. Within a transaction
 * that sees one snapshot.
 */
export async function projectEvents(executor: SqlExecutor, events: readonly PersonaEvent[]): Promise<void> {
  const { objectIds } = batchIds(events)
  const known = await readStoredState(executor, { eventIds: [], objectIds, inquiryIds: [] })
  const { sections, moves } = planWrite({ events, known, redactions: new Map(), erasures: new Map() })
  await moveRows(executor, moves)
  await executor.query(projectSql, [
    encodeRows(sections.inquiry, executor.keys),
    encodeRows(sections.verification, executor.keys),
    encodeRows(sections.resource, executor.keys),
    encodeRows(sections.objects, executor.keys),
    events.map(({ id }) => id),
  ])
}

/** 8 MB of the log's main storage; some thousands of events. */
const WINDOW_BLOCKS = 1024

/** In the order of storage, which is fast and puts events of an inquiry into one chunk. */
const windowSql = `
SELECT id, pg_column_size(payload) AS bytes FROM public.events
WHERE ctid >= format('(%s,0)', $1::int8)::tid AND ctid < format('(%s,0)', $2::int8)::tid`

/** Projects events in chunks, each in one transaction that sees one snapshot. */
export async function projectInChunks(
  connection: MaintenanceConnection,
  events: readonly EventSize[],
  onChunk: (events: number) => void,
): Promise<void> {
  for (const ids of eventChunks(events)) {
    await connection.transaction('snapshot', async () => {
      for await (const portion of readLogEvents(connection, ids)) await projectEvents(connection, portion)
    })
    onChunk(ids.length)
  }
}

/**
 * The first pass: projects the storage that the log had at the start, window by window, and notes its progress. It may miss
 * events that are stored or moved meanwhile, which `projectMissed` finds.
 */
export async function readLog(
  connection: MaintenanceConnection,
  from: ShadowProgress,
  onChunk: (events: number) => void,
): Promise<void> {
  for (let block = from.nextBlock; block < from.blocks; block += WINDOW_BLOCKS) {
    const events = await connection.query<EventSize>(windowSql, [block, block + WINDOW_BLOCKS])
    await projectInChunks(connection, events, onChunk)
    await noteProgress(connection, block + WINDOW_BLOCKS)
  }
}
