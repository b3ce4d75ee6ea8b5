import type { SqlExecutor } from '../sql/executor.ts'
import { keepPrepared } from '../sql/prepared-statements.ts'
import { comparedTables, type ComparedTable } from './compared-tables.ts'
import { differsSql, pairsSql } from './compare-sql.ts'
import { SHADOW_SCHEMA } from './shadow-tables.ts'

const PAGE = 2_000

/** Where a page of both sides ends: neither side then has more rows in it than fit. Null on the last page. */
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
 * Compares every row with its shadow, page by page while events go on arriving, and notes the objects that differ: by
 * a fault, or because the shadow is some events behind. What is not noted is equal, and stays so: events and erasures that
 * are yet to come do the same to both.
 * Returns the rows compared, by table.
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
