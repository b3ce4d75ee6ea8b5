import { openMaintenance, type MaintenanceConnection, type MaintenanceOptions } from '../sql/maintenance-connection.ts'
import { refreshLetters } from '../dead-letters/refresh-digests.ts'
import { sealedColumns, type SealedColumn } from './encrypted-columns.ts'

/** Rows that were sealed anew, by table and column. */
export type SealReport = Readonly<Record<string, number>>
export type SealProgress = { readonly column: string; readonly done: number; readonly total: number }

export type SealOptions = MaintenanceOptions & {
  /** Stops between two pages; the next call goes on. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: SealProgress) => void) | undefined
}

/** Bodies of dead letters do not open with the keys at hand; all others are under the newest key. */
export class UnopenedLettersError extends Error {
  override readonly name = 'UnopenedLettersError'
  constructor(ids: readonly string[]) {
    const shown = ids.slice(0, 10).join(', ')
    super(`bodies of ${ids.length} dead letters do not open with the keys at hand, among them ${shown}`)
  }
}

/** A payload may be 2 MiB. */
const PAGE = 50

type StoredRow = { readonly id: string; readonly old: string | null }

function pageSql({ table, text, isElsewhere }: SealedColumn): string {
  return `
WITH page AS (SELECT * FROM ${table} WHERE id > $1 ORDER BY id LIMIT ${PAGE})
SELECT id, CASE WHEN ${isElsewhere('$2')} THEN ${text} END AS old FROM page ORDER BY page.id`
}

/**
 * As every writer does: an erasure locks rows in an order of its own, so that the two could wait for each other. Ordinary
 * writers lock rows in the order of their ids, and so does {@link updateSql}.
 */
const shareSql = 'SELECT pg_advisory_xact_lock_shared(723114601)'

/** Only what is still what was read: a worker, an erasure or a prune that came between has written something better. */
function updateSql({ table, column, type }: SealedColumn): string {
  return `
WITH sent AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::jsonb) AS sent(id text, old ${type}, new ${type})
), locked AS MATERIALIZED (
SELECT id FROM ${table} WHERE id IN (SELECT sent.id FROM sent) ORDER BY ${table}.id FOR UPDATE
)
UPDATE ${table} SET ${column} = sent.new FROM sent JOIN locked ON locked.id = sent.id
WHERE ${table}.id = sent.id AND ${table}.${column} = sent.old RETURNING ${table}.id`
}

async function updatePage(connection: MaintenanceConnection, column: SealedColumn, rows: string): Promise<number> {
  return connection.transaction('latest', async () => {
    await connection.query(shareSql, [])
    return (await connection.query(updateSql(column), [rows])).length
  })
}

async function sealColumn(
  connection: MaintenanceConnection,
  column: SealedColumn,
  onPage: (rows: number) => void,
): Promise<number> {
  const { keys } = connection
  const prefix = column.prefixOf(keys.newestId ?? '')
  let sealed = 0
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: readonly StoredRow[] = await connection.query<StoredRow>(pageSql(column), [after, prefix])
    const rows = page.flatMap(({ id, old }) =>
      old === null ? [] : [{ id, old: column.json(old), new: column.json(column.reseal(old, id, keys)) }],
    )
    // Documents are JSON already.
    const text = rows.map((row) => `{"id":${JSON.stringify(row.id)},"old":${row.old},"new":${row.new}}`).join(',')
    if (rows.length > 0) sealed += await updatePage(connection, column, `[${text}]`)
    onPage(page.length)
    after = page.at(-1)?.id
  }
  return sealed
}

/**
 * Brings everything personal that is stored under the newest key: what is plain is sealed, what an older key seals is
 * sealed anew. Ingestion goes on meanwhile; it may be stopped, killed and repeated at any time.
 *
 * Rejects with a `RangeError` without keys, a `SealedDataError` where a key is missing, a `MaintenanceBusyError` where a
 * rebuild, a prune or another one is under way, and with the database's errors.
 */
export async function sealStored(options: SealOptions): Promise<SealReport> {
  const { onProgress = () => undefined } = options
  const connection = await openMaintenance(options, 'public')
  try {
    if (connection.keys.newestId === null) throw new RangeError('Expected keys to seal with, got none')
    const report: Record<string, number> = {}
    const seal = async (table: string, column: string, run: (onPage: (rows: number) => void) => Promise<number>) => {
      const name = `${table}.${column}`
      const [counted] = await connection.query<{ count: number }>(`SELECT count(*)::float8 AS count FROM ${table}`, [])
      let done = 0
      report[name] = await run((rows) => {
        done += rows
        onProgress({ column: name, done, total: Math.max(counted?.count ?? 0, done) })
        options.signal?.throwIfAborted()
      })
    }
    for (const column of sealedColumns)
      await seal(column.table, column.column, async (onPage) => sealColumn(connection, column, onPage))
    await seal('dead_letters', 'body', async (onPage) => {
      const { refreshed, unopenedIds } = await refreshLetters(connection, 'all', onPage)
      if (unopenedIds.length === 0) return refreshed
      throw new UnopenedLettersError(unopenedIds)
    })
    return report
  } finally {
    await connection.close()
  }
}
