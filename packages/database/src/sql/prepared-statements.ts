import { createHash } from 'node:crypto'

const names = new Map<string, string>()

/**
 * Names a statement that is worth keeping prepared on each connection; call it once per constant SQL text.
 * Without a name PostgreSQL plans a statement anew each time, which for the batch write takes longer than running it.
 */
export function keepPrepared(sql: string): string {
  names.set(sql, `persona_ingest_${createHash('sha256').update(sql).digest('hex').slice(0, 16)}`)
  return sql
}

/** The name of a kept statement; empty for every other, which pg then runs without a name. */
export function statementName(query: { readonly sql: string }): string {
  return names.get(query.sql) ?? ''
}
