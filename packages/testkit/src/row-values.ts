/** Columns that tell how often and how a row changed. The same events in another order leave other numbers. */
const CHANGE_COLUMNS = ['version', 'was_changed', 'previous_status']

/** SQL: a row as JSON, without the columns of its changes. */
export function valuesSql(alias: string): string {
  return `(to_jsonb(${alias}) - '{${CHANGE_COLUMNS.join(',')}}'::text[])`
}

/** Returns rows without the columns of their changes. */
export function valuesOf(rows: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  return rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => !CHANGE_COLUMNS.includes(name))))
}
