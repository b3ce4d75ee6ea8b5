type Sql = (text: string) => Promise<readonly Record<string, unknown>[]>

const tablesSql = `
SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1`

/** The planner's statistics quote values of the tables, and outlive what was erased there. */
const statisticsSql = `
SELECT schemaname, tablename, attname, most_common_vals::text AS a, histogram_bounds::text AS b,
  most_common_elems::text AS c
FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`

function spell(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function linesOf(name: string, rows: readonly Record<string, unknown>[]): readonly string[] {
  return rows.map((row) => `${name}: ${Object.values(row).map(spell).join(' | ')}`)
}

/** Every column of every row of every table, as one text: equal where nothing has changed. */
export async function tableRows(sql: Sql): Promise<string> {
  const lines: string[] = []
  for (const { name } of await sql(tablesSql))
    lines.push(...linesOf(String(name), await sql(`SELECT * FROM ${String(name)}`)))
  return lines.join('\n')
}

/** All that a database holds of its tables, as one text: every row, and the planner's statistics. */
export async function everyRow(sql: Sql): Promise<string> {
  return [await tableRows(sql), ...linesOf('statistics', await sql(statisticsSql))].join('\n')
}
