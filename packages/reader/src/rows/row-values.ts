import { decryptDocument, type KeyRing } from '@persona-ingest/core'
import type { Run } from '../connections/run.ts'
import { columnName, type ColumnKind, type Columns, type Table } from './columns.ts'

/** What reading rows needs. */
export type RowSource = { readonly run: Run; readonly keys: KeyRing }

/** A row as PostgreSQL gives it in JSON: versions and documents are texts. */
export type JsonRow = Readonly<Record<string, string | number | readonly string[] | null>>

/** A row with the values of its members. */
export type DecodedRow = Readonly<Record<string, unknown>>

/** Times as numbers, since their text depends on settings of the session. Documents as text: encrypted ones are strings. */
function expression(name: string, kind: ColumnKind): string {
  const column = `t.${columnName(name)}`
  if (kind === 'time') return `round(extract(epoch FROM ${column}) * 1000)::bigint`
  return kind === 'document' || kind === 'version' ? `${column}::text` : column
}

/** SQL: the columns of a table `t`, by the names of their members. */
export function selected(columns: Columns): string {
  return Object.entries(columns)
    .map(([name, kind]) => `${expression(name, kind)} AS "${name}"`)
    .join(', ')
}

export type DecodeOptions = {
  readonly row: JsonRow
  readonly table: Table
  readonly columns: Columns
  readonly keys: KeyRing
}

/** Reads the values of a row. Throws a `DecryptionError`. */
export function decodeRow({ row, table, columns, keys }: DecodeOptions): DecodedRow {
  const decode = (name: string, kind: ColumnKind): unknown => {
    const value = row[name] ?? null
    if (value === null) return null
    if (kind === 'time') return new Date(Number(value))
    if (kind === 'version') return BigInt(value as string)
    if (kind !== 'document') return value
    return JSON.parse(decryptDocument(value as string, [table.name, String(row['id']), columnName(name)], keys))
  }
  return Object.fromEntries(Object.entries(columns).map(([name, kind]) => [name, decode(name, kind)]))
}
