import { keepPrepared, type SqlExecutor } from '../sql/executor.ts'

import { SHADOW_SCHEMA } from './shadow-tables.ts'
import { projectionTables, sentColumns, type ProjectionTable } from '../tables.ts'

const list = (names: readonly string[], source: string): string => names.map((name) => `${source}.${name}`).join(', ')

function rawDifferenceSql({ columns }: ComparedTable): string {
  return `(${list(columns, 'live')}) IS DISTINCT FROM (${list(columns, 'told')})`
}

/**
 * Whether the row holds the snapshot of a pruned event. The values that the skeleton lacks are then taken from the row. An
 * erasure that reaches the row leaves the skeleton only.
 */
function isPrunedSql(table: ComparedTable): string {
  if (table.untoldWhenPruned.length === 0) return 'false'
  return (
    `${rawDifferenceSql(table)} AND live.event_id = told.event_id ` +
    `AND EXISTS (SELECT FROM public.events e WHERE e.id = told.event_id AND e.pruned_at IS NOT NULL) ` +
    `AND NOT EXISTS (SELECT FROM public.objects o WHERE o.id = told.id ` +
    `AND (o.erased_created_at, o.erased_rank, o.erased_event_id) > ` +
    `(told.event_created_at, told.event_rank, told.event_id))`
  )
}

/**
 * Pairs of live rows and rows projected from the log: `live`, `told`, and `snapshot.is_pruned`. `condition` is on the `id` of
 * both sides.
 */
export function pairsSql(table: ComparedTable, condition: string): string {
  const { name } = table
  return (
    `(SELECT * FROM public.${name} WHERE ${condition}) AS live ` +
    `FULL JOIN (SELECT * FROM ${SHADOW_SCHEMA}.${name} WHERE ${condition}) AS told ON told.id = live.id ` +
    // OFFSET prevents an evaluation for each column that uses it.
    `CROSS JOIN LATERAL (SELECT ${isPrunedSql(table)} AS is_pruned OFFSET 0) AS snapshot`
  )
}

/** SQL: the value that a column of a pair should hold. */
export function toldSql({ untoldWhenPruned }: ComparedTable, column: string): string {
  if (!untoldWhenPruned.includes(column)) return `told.${column}`
  // A skeleton keeps the relationships with type and id only.
  const isUntold = column === 'relationships' ? ` AND live.${column} @> told.${column}` : ''
  return `CASE WHEN snapshot.is_pruned${isUntold} THEN live.${column} ELSE told.${column} END`
}

/** SQL: whether an event of the object was changed by hand, so that its row can't be projected. */
export function isUntoldSql(id: string): string {
  return `EXISTS (SELECT FROM ${SHADOW_SCHEMA}.untold WHERE untold.id = ${id})`
}

/** Whether the two sides of a pair differ. */
export function differsSql(table: ComparedTable): string {
  const { columns, mayStay } = table
  return (
    `${rawDifferenceSql(table)} AND NOT (told.id IS NULL AND ${mayStay}) ` +
    `AND (${list(columns, 'live')}) IS DISTINCT FROM (${columns.map((column) => toldSql(table, column)).join(', ')}) ` +
    `AND NOT ${isUntoldSql('COALESCE(live.id, told.id)')}`
  )
}

/** The names of the columns in which the two sides differ, as a list. */
export function differingColumnsSql(table: ComparedTable): string {
  const each = table.columns.map(
    (name) => `CASE WHEN live.${name} IS DISTINCT FROM ${toldSql(table, name)} THEN '${name}' END`,
  )
  return `array_remove(ARRAY[${each.join(', ')}], NULL)`
}

/** A table that is compared with its shadow, and the columns that are. */
export type ComparedTable = {
  readonly name: 'inquiries' | 'verifications' | 'resources' | 'objects'
  readonly columns: readonly string[]
  /** The columns of them that a pruned event lacks. */
  readonly untoldWhenPruned: readonly string[]
  /** Rows of the live table that may be there without a shadow; as a condition on `live`. */
  readonly mayStay: string
}

function comparedProjection(table: ProjectionTable): ComparedTable {
  return {
    name: table.name,
    columns: sentColumns(table).map(([name]) => name),
    untoldWhenPruned: ['attributes', 'relationships', ...table.redactedValues.map(([column]) => column)],
    mayStay: 'false',
  }
}

/** Erasures are no projection: an erased object keeps its entry. */
const objects: ComparedTable = {
  name: 'objects',
  columns: ['id', 'family'],
  untoldWhenPruned: [],
  mayStay: 'live.erased_event_id IS NOT NULL',
}

export const comparedTables: readonly ComparedTable[] = [
  ...Object.values(projectionTables).map(comparedProjection),
  objects,
]

const PAGE = 2_000

/** SQL: the id where a page of both sides ends; null on the last page. */
function pageEndSql({ name }: ComparedTable): string {
  const nth = (schema: string) =>
    `(SELECT id FROM ${schema}.${name} WHERE id > $1 ORDER BY id OFFSET ${PAGE - 1} LIMIT 1)`
  return `SELECT LEAST(${nth('public')}, ${nth(SHADOW_SCHEMA)}) AS id`
}

/** One statement, so that both sides are seen at the same moment. */
function compareSql(table: ComparedTable, condition: string): string {
  return `
WITH pairs AS (
  SELECT COALESCE(live.id, told.id) AS id, ${differsSql(table)} AS differs FROM ${pairsSql(table, condition)}
), noted AS (
  INSERT INTO ${SHADOW_SCHEMA}.suspects SELECT id FROM pairs WHERE differs ON CONFLICT DO NOTHING
)
SELECT count(*)::int AS count FROM pairs`
}

async function compareTable(
  executor: SqlExecutor,
  table: ComparedTable,
  onPage: (rows: number) => void,
): Promise<number> {
  const endSql = keepPrepared(pageEndSql(table))
  const pageSql = keepPrepared(compareSql(table, 'id > $1 AND id <= $2'))
  const lastSql = keepPrepared(compareSql(table, 'id > $1'))
  let compared = 0
  for (let after = ''; ;) {
    const [end] = await executor.query<{ id: string | null }>(endSql, [after])
    const to = end?.id ?? null
    const [row] = await executor.query<{ count: number }>(to === null ? lastSql : pageSql, to === null ? [after] : [after, to]) // prettier-ignore
    compared += row?.count ?? 0
    onPage(compared)
    if (to === null) return compared
    after = to
  }
}

/**
 * Compares every row with its shadow, page by page, and notes the objects that differ: by a fault, or because the shadow is
 * some events behind. Equal rows stay equal, since later events and erasures change both. Returns the compared rows by
 * table.
 */
export async function findSuspects(
  executor: SqlExecutor,
  onPage: (rows: number) => void,
): Promise<Readonly<Record<string, number>>> {
  const compared: Record<string, number> = {}
  let before = 0
  for (const table of comparedTables) {
    const count = await compareTable(executor, table, (rows) => onPage(before + rows))
    compared[table.name] = count
    before += count
  }
  return compared
}
