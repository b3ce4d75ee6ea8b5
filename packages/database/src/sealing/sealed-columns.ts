import type { KeyRing } from '@persona-ingest/encryption'
import { placeOfBody } from '../dead-letters/dead-letter.ts'
import type { SqlExecutor } from '../ingest/sql-executor.ts'
import {
  bytesPrefix,
  documentPrefix,
  openBytes,
  openDocument,
  sealBytes,
  sealDocument,
  SEALED_COLUMNS,
  type Place,
  type SealedTable,
} from './sealed-document.ts'

/** A column that is sealed, for statements that go through whole tables. */
export type SealedColumn = {
  readonly table: SealedTable | 'dead_letters'
  readonly column: string
  readonly type: 'jsonb' | 'bytea'
  /** The type of its table's `id`, and what comes before the first one. */
  readonly id: 'text' | 'bigint'
  readonly first: string
  /** SQL: what the value is bound to, and the value itself, as text. */
  readonly boundTo: string
  readonly text: string
  /** Begins every value that a key has sealed. */
  readonly prefixOf: (keyId: string) => string
  /** SQL: whether a value is plain, or sealed with another key than the one whose prefix the parameter holds. */
  readonly isElsewhere: (parameter: string) => string
  /** A value's text as JSON that PostgreSQL casts to the column's type. */
  readonly json: (text: string) => string
  readonly reseal: (text: string, bound: string, keys: KeyRing) => string
}

function documentColumn(table: SealedTable, column: string): SealedColumn {
  return {
    table,
    column,
    type: 'jsonb',
    id: 'text',
    first: '',
    boundTo: 'id',
    text: `${column}::text`,
    prefixOf: documentPrefix,
    isElsewhere: (prefix) =>
      `CASE jsonb_typeof(${column}) WHEN 'string' THEN NOT starts_with(${column} #>> '{}', ${prefix}::text) ` +
      `ELSE ${column} <> '{}' END`,
    json: (text) => text,
    reseal: (text, id, keys) => sealDocument(openDocument(text, [table, id, column], keys), [table, id, column], keys),
  }
}

function bytesColumn(
  column: Pick<SealedColumn, 'table' | 'column' | 'id' | 'first' | 'boundTo'>,
  placeOf: (bound: string) => Place,
): SealedColumn {
  const { column: name } = column
  return {
    ...column,
    type: 'bytea',
    text: `encode(${name}, 'hex')`,
    prefixOf: (keyId) => bytesPrefix(keyId).toString('hex'),
    isElsewhere: (prefix) => `NOT starts_with(encode(substr(${name}, 1, 512), 'hex'), ${prefix}::text)`,
    json: (text) => JSON.stringify(`\\x${text}`),
    reseal: (text, bound, keys) => {
      const bytes = openBytes(Buffer.from(text, 'hex'), placeOf(bound), keys)
      return Buffer.from(sealBytes(bytes, placeOf(bound), keys)).toString('hex')
    },
  }
}

const documents = Object.entries(SEALED_COLUMNS).flatMap(([table, columns]) =>
  columns.map((column) => documentColumn(table as SealedTable, column)),
)

export const sealedColumns: readonly SealedColumn[] = [
  ...documents,
  bytesColumn({ table: 'events', column: 'original_body', id: 'text', first: '', boundTo: 'id' }, (id) => [
    'events',
    id,
    'original_body',
  ]),
  bytesColumn(
    { table: 'dead_letters', column: 'body', id: 'bigint', first: '0', boundTo: `encode(body_sha256, 'hex')` },
    (sha256) => placeOfBody(Buffer.from(sha256, 'hex')),
  ),
]

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
