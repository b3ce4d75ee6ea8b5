import { encryptedColumns } from '../tables.ts'
import { setChangeCause } from '../sql/write-transactions.ts'
import { openMaintenance, type MaintenanceConnection, type MaintenanceOptions } from '../sql/maintenance-connection.ts'
import { refreshDeadLetters } from '../dead-letters/refresh-digests.ts'

import { CodedError, type KeyRing } from '@persona-ingest/core'
import type { SqlExecutor } from '../sql/executor.ts'
import {
  bytesPrefix,
  documentPrefix,
  decryptBytes,
  decryptDocument,
  encryptBytes,
  encryptDocument,
  type EncryptedTable,
  areBytesElsewhere,
  idForMessage,
} from '../sql/row-values.ts'

/** Encrypted rows, by table and column. */
export type EncryptReport = Readonly<Record<string, number>>
export type EncryptProgress = { readonly column: string; readonly done: number; readonly total: number }

export type EncryptOptions = MaintenanceOptions & {
  /** Stops between two pages; the next call continues. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: EncryptProgress) => void) | undefined
}

/**
 * Reports bodies of dead letters that no key decrypts; all others are under the newest key. Code:
 * `DEAD_LETTERS_UNDECRYPTABLE`. The message holds ids of rows.
 */
export class UndecryptableDeadLettersError extends CodedError<'DEAD_LETTERS_UNDECRYPTABLE'> {
  override readonly name = 'UndecryptableDeadLettersError'

  constructor(ids: readonly string[]) {
    const shown = ids.slice(0, 10).join(', ')
    super(
      'DEAD_LETTERS_UNDECRYPTABLE',
      `bodies of ${ids.length} dead letters do not open with the keys at hand, among them ${shown}`,
    )
  }
}

/** Reports a row that the newest key has not encrypted. Code: `OTHER_KEY`. The message holds the place of the row. */
export class OtherKeyError extends CodedError<'OTHER_KEY'> {
  override readonly name = 'OtherKeyError'

  constructor(place: string, newestId: string | null) {
    const advice =
      newestId === null
        ? 'encrypted: give STORAGE_ENCRYPTION_KEYS'
        : `not encrypted with the key "${newestId}": run \`ops encrypt\` first`
    super('OTHER_KEY', `${place} is ${advice}`)
  }
}

/** An encrypted column, for statements over whole tables. */
type EncryptedColumn = {
  readonly table: EncryptedTable
  readonly column: string
  readonly type: 'jsonb' | 'bytea'
  /** SQL: the value as text. */
  readonly text: string
  /** The beginning of every value under a key. */
  readonly prefixOf: (keyId: string) => string
  /** SQL: whether a value is plain, or its key is not the one whose prefix the parameter holds. */
  readonly isElsewhere: (parameter: string) => string
  /** A value's text as JSON that PostgreSQL casts to the column's type. */
  readonly json: (text: string) => string
  readonly reencrypt: (text: string, id: string, keys: KeyRing) => string
}

function documentColumn(table: EncryptedTable, column: string): EncryptedColumn {
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
    reencrypt: (text, id, keys) =>
      encryptDocument(decryptDocument(text, [table, id, column], keys), [table, id, column], keys),
  }
}

function bytesColumn(table: EncryptedTable, column: string): EncryptedColumn {
  return {
    table,
    column,
    type: 'bytea',
    text: `encode(${column}, 'hex')`,
    prefixOf: (keyId) => bytesPrefix(keyId).toString('hex'),
    isElsewhere: (prefix) => areBytesElsewhere(column, prefix),
    json: (text) => JSON.stringify(`\\x${text}`),
    reencrypt: (text, id, keys) => {
      const bytes = decryptBytes(Buffer.from(text, 'hex'), [table, id, column], keys)
      return Buffer.from(encryptBytes(bytes, [table, id, column], keys)).toString('hex')
    },
  }
}

const documents = encryptedColumns.map(([table, column]) => documentColumn(table, column))

/** All but the bodies of dead letters, which also have digests. */
const columnsToEncrypt: readonly EncryptedColumn[] = [...documents, bytesColumn('events', 'original_body')]

/** A payload may be 2 MiB. */
const PAGE = 50

type StoredRow = { readonly id: string; readonly old: string | null }

function pageSql({ table, text, isElsewhere }: EncryptedColumn): string {
  return `
WITH page AS (SELECT * FROM ${table} WHERE id > $1 ORDER BY id LIMIT ${PAGE})
SELECT id, CASE WHEN ${isElsewhere('$2')} THEN ${text} END AS old FROM page ORDER BY page.id`
}

/**
 * An erasure locks rows in another order and so runs alone. Other writers, {@link updateSql} too, lock rows in the order of
 * their ids.
 */
const shareSql = 'SELECT pg_advisory_xact_lock_shared(723114601)'

/** Writes only values that are unchanged: a worker, an erasure or a prune may have written newer ones. */
function updateSql({ table, column, type }: EncryptedColumn): string {
  return `
WITH sent AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::jsonb) AS sent(id text, old ${type}, new ${type})
), locked AS MATERIALIZED (
SELECT id FROM ${table} WHERE id IN (SELECT sent.id FROM sent) ORDER BY ${table}.id FOR UPDATE
)
UPDATE ${table} SET ${column} = sent.new FROM sent JOIN locked ON locked.id = sent.id
WHERE ${table}.id = sent.id AND ${table}.${column} = sent.old RETURNING ${table}.id`
}

async function updatePage(connection: MaintenanceConnection, column: EncryptedColumn, rows: string): Promise<number> {
  return connection.transaction('latest', async () => {
    await connection.query(shareSql, [])
    // The values stay the same to a reader with the keys.
    await setChangeCause(connection, 'none')
    return (await connection.query(updateSql(column), [rows])).length
  })
}

async function encryptColumn(
  connection: MaintenanceConnection,
  column: EncryptedColumn,
  onPage: (rows: number) => void,
): Promise<number> {
  const { keys } = connection
  const prefix = column.prefixOf(keys.newestId ?? '')
  let encrypted = 0
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: readonly StoredRow[] = await connection.query<StoredRow>(pageSql(column), [after, prefix])
    const rows = page.flatMap(({ id, old }) =>
      old === null ? [] : [{ id, old: column.json(old), new: column.json(column.reencrypt(old, id, keys)) }],
    )
    // Documents are JSON already.
    const text = rows.map((row) => `{"id":${JSON.stringify(row.id)},"old":${row.old},"new":${row.new}}`).join(',')
    if (rows.length > 0) encrypted += await updatePage(connection, column, `[${text}]`)
    onPage(page.length)
    after = page.at(-1)?.id
  }
  return encrypted
}

/**
 * Rejects with an {@link OtherKeyError} unless all rows of the projections are under the newest key, or plain without keys.
 * Rows are compared without a key.
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
    throw new OtherKeyError(`${column} of ${idForMessage(row.id)} in ${table}`, newestId)
  }
}

/**
 * Encrypts all stored personal data with the newest key, plain values and values under older keys, while ingestion goes on.
 * It may be interrupted and repeated at any time.
 *
 * Rejects with a `RangeError` without keys, `DECRYPTION_FAILED`, `DEAD_LETTERS_UNDECRYPTABLE`, `MAINTENANCE_BUSY`, the reason
 * of the signal, or the database's error.
 */
export async function encryptStored(options: EncryptOptions): Promise<EncryptReport> {
  const { onProgress = () => undefined } = options
  const connection = await openMaintenance(options, 'public')
  try {
    if (connection.keys.newestId === null) throw new RangeError('Expected keys to seal with, got none')
    const report: Record<string, number> = {}
    const encrypt = async (table: string, column: string, run: (onPage: (rows: number) => void) => Promise<number>) => {
      const name = `${table}.${column}`
      const [counted] = await connection.query<{ count: number }>(`SELECT count(*)::float8 AS count FROM ${table}`, [])
      let done = 0
      report[name] = await run((rows) => {
        done += rows
        onProgress({ column: name, done, total: Math.max(counted?.count ?? 0, done) })
        options.signal?.throwIfAborted()
      })
    }
    for (const column of columnsToEncrypt)
      await encrypt(column.table, column.column, async (onPage) => encryptColumn(connection, column, onPage))
    await encrypt('dead_letters', 'body', async (onPage) => {
      const { refreshed, undecryptableIds } = await refreshDeadLetters(connection, 'all', onPage)
      if (undecryptableIds.length === 0) return refreshed
      throw new UndecryptableDeadLettersError(undecryptableIds)
    })
    return report
  } finally {
    await connection.close()
  }
}
