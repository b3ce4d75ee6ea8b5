import type { KeyRing } from '@persona-ingest/core'
import type { SqlExecutor } from '../sql/executor.ts'
import {
  bytesPrefix,
  documentPrefix,
  openBytes,
  openDocument,
  sealBytes,
  sealDocument,
  SEALED_COLUMNS,
  type SealedTable,
} from '../sql/encrypted-values.ts'

/** A column that is sealed, for statements that go through whole tables. */
export type SealedColumn = {
  readonly table: SealedTable
  readonly column: string
  readonly type: 'jsonb' | 'bytea'
  /** SQL: the value as text. */
  readonly text: string
  /** Begins every value that a key has sealed. */
  readonly prefixOf: (keyId: string) => string
  /** SQL: whether a value is plain, or sealed with another key than the one whose prefix the parameter holds. */
  readonly isElsewhere: (parameter: string) => string
  /** A value's text as JSON that PostgreSQL casts to the column's type. */
  readonly json: (text: string) => string
  readonly reseal: (text: string, id: string, keys: KeyRing) => string
}

function documentColumn(table: SealedTable, column: string): SealedColumn {
  return {
    table,
    column,
    type: 'jsonb',
    text: `${column}::text`,
    prefixOf: documentPrefix,
    isElsewhere: (prefix) =>
      `CASE jsonb_typeof(${column}) WHEN 'string' THEN NOT starts_with(${column} #>> '{}', ${prefix}::text) ` +
      `ELSE ${column} <> '{}' END`,
    json: (text) => text,
    reseal: (text, id, keys) => sealDocument(openDocument(text, [table, id, column], keys), [table, id, column], keys),
  }
}

/** SQL: whether bytes are plain, or encrypted with another key than the one whose prefix the parameter holds. */
export function areBytesElsewhere(column: string, parameter: string): string {
  return `NOT starts_with(encode(substr(${column}, 1, 512), 'hex'), ${parameter}::text)`
}

function bytesColumn(table: SealedTable, column: string): SealedColumn {
  return {
    table,
    column,
    type: 'bytea',
    text: `encode(${column}, 'hex')`,
    prefixOf: (keyId) => bytesPrefix(keyId).toString('hex'),
    isElsewhere: (prefix) => areBytesElsewhere(column, prefix),
    json: (text) => JSON.stringify(`\\x${text}`),
    reseal: (text, id, keys) => {
      const bytes = openBytes(Buffer.from(text, 'hex'), [table, id, column], keys)
      return Buffer.from(sealBytes(bytes, [table, id, column], keys)).toString('hex')
    },
  }
}

const documents = Object.entries(SEALED_COLUMNS).flatMap(([table, columns]) =>
  columns.map((column) => documentColumn(table as SealedTable, column)),
)

/** All but the bodies of dead letters, which have digests besides. */
export const sealedColumns: readonly SealedColumn[] = [...documents, bytesColumn('events', 'original_body')]

/** Rows are compared without a key, so all of them must be sealed with one. */
export class SealedOtherwiseError extends Error {
  override readonly name = 'SealedOtherwiseError'
}

/**
 * Makes sure that the rows of the projections are sealed with the newest key here, or plain where there is none. Throws a
 * {@link SealedOtherwiseError}.
 */
export async function expectOneKey(executor: SqlExecutor): Promise<void> {
  const { newestId } = executor.keys
  const prefix = newestId === null ? null : documentPrefix(newestId)
  for (const { table, column, isElsewhere } of documents) {
    if (table === 'events') continue
    const condition = newestId === null ? `$1::text IS NULL AND jsonb_typeof(${column}) = 'string'` : isElsewhere('$1')
    const found = await executor.query<{ id: string }>(`SELECT id FROM ${table} WHERE ${condition} LIMIT 1`, [prefix])
    const [row] = found
    if (row === undefined) continue
    throw new SealedOtherwiseError(
      newestId === null
        ? `${column} of ${row.id} in ${table} is sealed: give STORAGE_ENCRYPTION_KEYS`
        : `${column} of ${row.id} in ${table} is not sealed with the key "${newestId}": run \`ops seal\` first`,
    )
  }
}
