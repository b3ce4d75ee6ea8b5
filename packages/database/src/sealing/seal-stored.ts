import { openMaintenance, type MaintenanceConnection, type MaintenanceOptions } from '../maintenance-connection.ts'
import { sealedColumns, type SealedColumn } from './sealed-columns.ts'

/** Rows that were sealed anew, by table and column. */
export type SealReport = Readonly<Record<string, number>>
export type SealProgress = { readonly column: string; readonly done: number; readonly total: number }

export type SealOptions = MaintenanceOptions & {
  /** Stops between two pages; the next call goes on. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: SealProgress) => void) | undefined
}

/** A payload may be 2 MiB. */
const PAGE = 50

type StoredRow = { readonly id: string; readonly bound: string; readonly old: string | null }

function pageSql({ table, id, boundTo, text, isElsewhere }: SealedColumn): string {
  return `
WITH page AS (SELECT * FROM ${table} WHERE id > $1::${id} ORDER BY id LIMIT ${PAGE})
SELECT id::text AS id, ${boundTo} AS bound, CASE WHEN ${isElsewhere('$2')} THEN ${text} END AS old
FROM page ORDER BY page.id`
}

/** Only what is still what was read: a worker, an erasure or a prune that came between has written something better. */
function updateSql({ table, id, column, type }: SealedColumn): string {
  return `
UPDATE ${table} SET ${column} = sent.new
FROM jsonb_to_recordset($1::jsonb) AS sent(id ${id}, old ${type}, new ${type})
WHERE ${table}.id = sent.id AND ${table}.${column} = sent.old RETURNING ${table}.id`
}

async function sealColumn(
  connection: MaintenanceConnection,
  column: SealedColumn,
  onPage: (rows: number) => void,
): Promise<number> {
  const { keys } = connection
  const prefix = column.prefixOf(keys.newestId ?? '')
  let sealed = 0
  for (let after: string | undefined = column.first; after !== undefined;) {
    const page: readonly StoredRow[] = await connection.query<StoredRow>(pageSql(column), [after, prefix])
    const rows = page.flatMap(({ id, bound, old }) =>
      old === null ? [] : [{ id, old: column.json(old), new: column.json(column.reseal(old, bound, keys)) }],
    )
    // Documents are JSON already.
    const text = rows.map((row) => `{"id":${JSON.stringify(row.id)},"old":${row.old},"new":${row.new}}`).join(',')
    if (rows.length > 0) sealed += (await connection.query(updateSql(column), [`[${text}]`])).length
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
    for (const column of sealedColumns) {
      const name = `${column.table}.${column.column}`
      const [counted] = await connection.query<{ count: number }>(`SELECT count(*)::float8 AS count FROM ${column.table}`, []) // prettier-ignore
      let done = 0
      report[name] = await sealColumn(connection, column, (rows) => {
        done += rows
        onProgress({ column: name, done, total: Math.max(counted?.count ?? 0, done) })
        options.signal?.throwIfAborted()
      })
    }
    return report
  } finally {
    await connection.close()
  }
}
