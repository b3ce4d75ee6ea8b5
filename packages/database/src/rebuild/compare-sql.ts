import type { ComparedTable } from './compared-tables.ts'
import { SHADOW_SCHEMA } from './shadow-tables.ts'

const list = (names: readonly string[], source: string): string => names.map((name) => `${source}.${name}`).join(', ')

function rawDifferenceSql({ columns }: ComparedTable): string {
  return `(${list(columns, 'live')}) IS DISTINCT FROM (${list(columns, 'told')})`
}

/**
 * Whether the row holds the snapshot of an event that was pruned: what its skeleton does not tell is taken as the row has
 * it. Not where an erasure reaches it, which leaves no more than the skeleton.
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
 * Live rows and what the log makes of them, side by side: `live`, `told`, and `snapshot.is_pruned`. `condition` is on
 * `id`, of both sides.
 */
export function pairsSql(table: ComparedTable, condition: string): string {
  const { name } = table
  return (
    `(SELECT * FROM public.${name} WHERE ${condition}) AS live ` +
    `FULL JOIN (SELECT * FROM ${SHADOW_SCHEMA}.${name} WHERE ${condition}) AS told ON told.id = live.id ` +
    // OFFSET keeps it from being worked out once for each column that asks for it.
    `CROSS JOIN LATERAL (SELECT ${isPrunedSql(table)} AS is_pruned OFFSET 0) AS snapshot`
  )
}

/** What a column of a pair should hold. */
export function toldSql({ untoldWhenPruned }: ComparedTable, column: string): string {
  if (!untoldWhenPruned.includes(column)) return `told.${column}`
  // A skeleton's relationships say as much as they ever did, but for what else than type and id stood in them.
  const isUntold = column === 'relationships' ? ` AND live.${column} @> told.${column}` : ''
  return `CASE WHEN snapshot.is_pruned${isUntold} THEN live.${column} ELSE told.${column} END`
}

/** Whether nothing can be told of an object, since an event that tells of it was changed by hand. */
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
