import type { SqlExecutor } from '../sql/executor.ts'
import {
  type ComparedTable,
  comparedTables,
  differingColumnsSql,
  differsSql,
  isUntoldSql,
  pairsSql,
  toldSql,
} from './compare.ts'
import { SHADOW_SCHEMA } from './shadow-tables.ts'

/**
 * A row that differs from the projection of the event log. `missing`: only the projection has it; `unexpected`: only the
 * table has it; `different`: in `columns`. In `events`: an event that was changed by hand, which a rebuild can't repair.
 */
export type RowDifference = {
  readonly table: ComparedTable['name'] | 'events'
  readonly id: string
  readonly kind: 'missing' | 'unexpected' | 'different'
  readonly columns: readonly string[]
}

const PAGE = 2_000
const ofPage = 'id = ANY($1::text[])'
const suspectsSql = `SELECT id FROM ${SHADOW_SCHEMA}.suspects WHERE id > $1 ORDER BY id LIMIT ${PAGE}`

function differencesSql(table: ComparedTable): string {
  return `
SELECT '${table.name}' AS "table", COALESCE(live.id, told.id) AS id,
  CASE WHEN live.id IS NULL THEN 'missing' WHEN told.id IS NULL THEN 'unexpected' ELSE 'different' END AS kind,
  CASE WHEN live.id IS NULL OR told.id IS NULL THEN '{}' ELSE ${differingColumnsSql(table)} END AS columns
FROM ${pairsSql(table, ofPage)} WHERE ${differsSql(table)} ORDER BY 2`
}

/** Rows are changed in place, so that views, grants, indexes, replication and prepared statements stay valid. */
function removeSql({ name, mayStay }: ComparedTable): string {
  return (
    `DELETE FROM public.${name} AS live WHERE ${ofPage} AND NOT (${mayStay}) AND NOT ${isUntoldSql('live.id')} ` +
    `AND NOT EXISTS (SELECT FROM ${SHADOW_SCHEMA}.${name} told WHERE told.id = live.id)`
  )
}

function writeSql(table: ComparedTable): string {
  const { name, columns } = table
  const names = columns.join(', ')
  const told = columns.map((column) => toldSql(table, column)).join(', ')
  const assignments = columns.map((column) => `${column} = excluded.${column}`).join(', ')
  return (
    `INSERT INTO public.${name} (${names}) SELECT ${told} FROM ${pairsSql(table, ofPage)} ` +
    `WHERE told.id IS NOT NULL AND ${differsSql(table)} ON CONFLICT (id) DO UPDATE SET ${assignments}`
  )
}

async function mendPage(executor: SqlExecutor, ids: readonly string[]): Promise<void> {
  // All removals come first: a row that moves to another table keeps its version, and is announced once.
  for (const table of comparedTables) await executor.query(removeSql(table), [ids])
  for (const table of comparedTables) await executor.query(writeSql(table), [ids])
}

/**
 * Reports every difference among the suspects and repairs it with `isMending`. Within a transaction in which no other one
 * changes either side.
 */
export async function resolveSuspects(
  executor: SqlExecutor,
  options: { readonly isMending: boolean; readonly onDifference: (difference: RowDifference) => void },
): Promise<void> {
  for (let after = ''; ;) {
    const ids = (await executor.query<{ id: string }>(suspectsSql, [after])).map(({ id }) => id)
    for (const table of comparedTables) {
      const differences = await executor.query<RowDifference>(differencesSql(table), [ids])
      for (const difference of differences) options.onDifference(difference)
    }
    if (options.isMending) await mendPage(executor, ids)
    if (ids.length < PAGE) return
    after = ids.at(-1) as string
  }
}
