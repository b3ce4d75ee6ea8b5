import {
  bareRelationships,
  stringifyExact,
  type Clock,
  type JsonObject,
  type ObjectFamily,
} from '@persona-ingest/persona'
import { families, projectionTables, type ProjectionTable } from '../tables.ts'
import { encodeRows, isoTime, RawJson, type Row } from '../sql/row-values.ts'
import { inPages, type SqlExecutor } from '../sql/executor.ts'

/** The skeleton of a row that holds the snapshot of the named event. */
export type RowSkeleton = {
  readonly family: ObjectFamily
  readonly id: string
  readonly eventId: string
  readonly relationships: JsonObject
}

/** A row that held more than its skeleton. */
export type RedactedRow = { readonly table: ProjectionTable['name']; readonly id: string }

function redactRowsSql(family: ObjectFamily): string {
  const { name, redactedValues } = projectionTables[family]
  const emptied = [
    ['attributes', `'{}'`] as const,
    ['relationships', 'sent.relationships'] as const,
    ...redactedValues,
  ] as const
  return (
    `UPDATE ${name} SET ${emptied.map(([column, value]) => `${column} = ${value}`).join(', ')} ` +
    `FROM json_to_recordset($1::json) AS sent(id text, event_id text, relationships jsonb) ` +
    `WHERE ${name}.id = sent.id AND ${name}.event_id = sent.event_id AND (` +
    emptied.map(([column, value]) => `${name}.${column} IS DISTINCT FROM ${value}`).join(' OR ') +
    `) RETURNING ${name}.id`
  )
}

/** One statement of more rows may come near the time limit of a statement: a trigger announces each row. */
const ROWS_PER_STATEMENT = 5_000

/** Reduces rows that still hold the snapshot of the named event. Returns the rows that held more. */
export async function redactRows(
  executor: SqlExecutor,
  skeletons: readonly RowSkeleton[],
): Promise<readonly RedactedRow[]> {
  const redactedRows: RedactedRow[] = []
  for (const family of families) {
    const rows: readonly Row[] = skeletons
      .filter((skeleton) => skeleton.family === family)
      .map(({ id, eventId, relationships }) => ({
        id,
        event_id: eventId,
        relationships: new RawJson(stringifyExact(relationships)),
      }))
    for (const page of inPages(rows, ROWS_PER_STATEMENT)) {
      const reduced = await executor.query<{ id: string }>(redactRowsSql(family), [encodeRows(page, executor.keys)])
      for (const { id } of reduced) redactedRows.push({ table: projectionTables[family].name, id })
    }
  }
  return redactedRows
}

function unloggedRowsSql(family: ObjectFamily): string {
  const { name } = projectionTables[family]
  return (
    `SELECT '${family}' AS family, r.id, r.event_id AS "eventId", r.relationships::text AS relationships ` +
    `FROM ${name} r JOIN raised ON raised.id = r.id WHERE (r.event_created_at, r.event_rank, r.event_id) ` +
    `<= (raised.created_at, raised.rank, raised.event_id) AND NOT EXISTS (SELECT FROM events WHERE id = r.event_id AND payload <> '{}' AND id <> ALL($2::text[]))`
  )
}

const allUnloggedRowsSql = `
WITH raised AS (SELECT * FROM json_to_recordset($1::json)
  AS sent(id text, created_at timestamptz, rank smallint, event_id text))
${families.map(unloggedRowsSql).join('\nUNION ALL ')}`

type UnloggedRow = Omit<RowSkeleton, 'relationships'> & { readonly relationships: string }

/**
 * Finds rows up to a redaction that the log does not lead to: their event is not in the log, is empty, or cannot be
 * decrypted.
 */
export async function findUnloggedRows(
  executor: SqlExecutor,
  raised: ReadonlyMap<string, Clock>,
  undecryptableIds: readonly string[],
): Promise<readonly RowSkeleton[]> {
  const clocks = [...raised].map(([id, { createdAtMs, rank, eventId }]) => {
    return { id, created_at: isoTime(createdAtMs), rank, event_id: eventId }
  })
  const rows = await executor.query<UnloggedRow>(allUnloggedRowsSql, [
    encodeRows(clocks, executor.keys),
    undecryptableIds,
  ])
  return rows.map(({ relationships, ...row }) => {
    return { ...row, relationships: bareRelationships(JSON.parse(relationships) as JsonObject) }
  })
}
