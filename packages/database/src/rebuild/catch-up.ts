import { statesOf, type PersonaEvent } from '@persona-ingest/persona'
import { eventChunks, type EventSize } from '../log/read-in-portions.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import { encodeRows, type Row } from '../sql/row-values.ts'
import { projectionRow } from '../store/projection-row.ts'
import { projectionTables, sentColumns, type ProjectionTable } from '../tables.ts'
import { projectEvents, readLogEvents } from './project-events.ts'
import { SHADOW_SCHEMA } from './shadow-tables.ts'

const MISSED_PER_PAGE = 5_000

/** Reads two indexes only, 1 s for a million events while ingestion waits. With the rows it took 7.6 s. */
const missedSql = `
WITH missed AS MATERIALIZED (
  SELECT e.id FROM public.events e
  WHERE e.id > $1 AND NOT EXISTS (SELECT FROM ${SHADOW_SCHEMA}.projected p WHERE p.event_id = e.id)
  ORDER BY e.id LIMIT ${MISSED_PER_PAGE}
)
SELECT e.id, pg_column_size(e.payload) AS bytes FROM missed JOIN public.events e ON e.id = missed.id ORDER BY e.id`

/** Marks pages as visible to all, which a scan of the index alone needs. */
export const vacuumProjectedSql = `VACUUM (ANALYZE) ${SHADOW_SCHEMA}.projected`

/**
 * Projects, a page at a time, all events of the log that the shadow tables lack: stored since, or moved by an update to a
 * place that the first pass had passed. It compares ids, so that long transactions hide none. Returns their number.
 */
export async function projectMissed(
  executor: SqlExecutor,
  project: (events: readonly EventSize[]) => Promise<void>,
): Promise<number> {
  let found = 0
  for (let after = ''; ;) {
    const events = await executor.query<EventSize>(missedSql, [after])
    await project(events)
    found += events.length
    const last = events.at(-1)
    if (last === undefined || events.length < MISSED_PER_PAGE) return found
    after = last.id
  }
}

const PAGE = 500
const clockOf = (source: string): string =>
  `(${source}.erased_created_at, ${source}.erased_rank, ${source}.erased_event_id)`

/** Objects whose erasure has changed since they were read into the shadow tables. */
const lateSql = `
SELECT live.id FROM public.objects live LEFT JOIN ${SHADOW_SCHEMA}.objects noted ON noted.id = live.id
WHERE live.id > $1 AND live.erased_event_id IS NOT NULL
  AND (noted.id IS NULL OR ${clockOf('noted')} IS DISTINCT FROM ${clockOf('live')})
ORDER BY live.id LIMIT ${PAGE}`

const noteSql = `
INSERT INTO ${SHADOW_SCHEMA}.objects SELECT live.* FROM public.objects live WHERE live.id = ANY($1::text[])
ON CONFLICT (id) DO UPDATE SET erased_event_id = excluded.erased_event_id,
  erased_created_at = excluded.erased_created_at, erased_rank = excluded.erased_rank`

const eventsOfObjectsSql = `
SELECT id, pg_column_size(payload) AS bytes FROM public.events WHERE id IN (
  SELECT id FROM public.events WHERE resource_id = ANY($1::text[])
  UNION SELECT event_id FROM public.event_objects WHERE object_id = ANY($1::text[]))`

/** Writes a snapshot again where the row holds the snapshot of the same event. */
function refreshSql(table: ProjectionTable): string {
  const columns = table.snapshotColumns.map(([name]) => `${name} = sent.${name}`).join(', ')
  const sent = sentColumns(table)
    .map(([name, type]) => `${name} ${type}`)
    .join(', ')
  return (
    `UPDATE ${SHADOW_SCHEMA}.${table.name} AS stored SET ${columns} ` +
    `FROM jsonb_to_recordset($1::jsonb) AS sent(${sent}) ` +
    `WHERE stored.id = sent.id AND stored.event_id = sent.event_id`
  )
}

async function refreshRows(executor: SqlExecutor, events: readonly PersonaEvent[]): Promise<void> {
  for (const table of Object.values(projectionTables)) {
    const rows: Row[] = events.flatMap((event) =>
      [...statesOf(event).values()]
        .filter(({ snapshot }) => snapshot?.value.family === table.family)
        .map((state) => projectionRow(table.family, state)),
    )
    if (rows.length > 0) await executor.query(refreshSql(table), [encodeRows(rows, executor.keys)])
  }
}

async function eraseObjects(executor: SqlExecutor, objectIds: readonly string[]): Promise<void> {
  for (const ids of eventChunks(await executor.query<EventSize>(eventsOfObjectsSql, [objectIds]))) {
    for await (const portion of readLogEvents(executor, ids)) {
      // An erasure moves events in the storage, so that an event of it may be projected here for the first time.
      await projectEvents(executor, portion)
      await refreshRows(executor, portion)
    }
  }
  await executor.query(noteSql, [objectIds])
}

/**
 * Applies redactions that were made during the rebuild to the shadow tables: it reads the events of their objects again.
 * Each page runs within one snapshot, which `inSnapshot` provides.
 */
export async function eraseLate(
  executor: SqlExecutor,
  inSnapshot: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<void> {
  for (let after: string | null = ''; after !== null;) {
    const from: string = after
    after = await inSnapshot(async () => {
      const late = (await executor.query<{ id: string }>(lateSql, [from])).map(({ id }) => id)
      await eraseObjects(executor, late)
      return late.length < PAGE ? null : (late.at(-1) ?? null)
    })
  }
}
