import type { Database } from '../database.ts'
import { areBytesElsewhere, bytesPrefix, decryptBytes, DecryptionError } from '../sql/row-values.ts'
import {
  MaintenanceBusyError,
  openMaintenance,
  type MaintenanceConnection,
  type MaintenanceOptions,
} from '../sql/maintenance-connection.ts'
import { emptiedBody, isEmptied } from './dead-letter.ts'
import {
  bodyAssignments,
  bodyParameters,
  isAsReceived,
  isOlderRowSql,
  lockBytes,
  pageOfBodiesSql,
  placeOfBody,
  possibleDigests,
  readDigestKey,
  storedBodyColumns,
  type StoredBodyRow,
} from './stored-body.ts'

/** `older`: rows of versions before keyed digests. `all`: also rows that another key encrypts or digests. */
export type RefreshedDeadLetters = 'older' | 'all'

type StoredRow = StoredBodyRow & { readonly id: string; readonly isOfBytes: boolean }

const PAGE = 50
const pageSql = (condition: string): string =>
  pageOfBodiesSql(
    `id::text AS id, event_id IS NULL AS "isOfBytes", ${storedBodyColumns}`,
    `dead_letters.id > $1::text::bigint AND ${condition}`,
    PAGE,
  )

const olderSql = pageSql(isOlderRowSql)
const allSql = pageSql(`(${isOlderRowSql}
  OR (body_digest IS NOT NULL AND digest_key_id IS DISTINCT FROM $2::text) OR ${areBytesElsewhere('body', '$3')})`)

const shareSql = 'SELECT pg_advisory_xact_lock_shared(723114601)'

/** Writes only a body that is unchanged: an erasure or a later failure may have written a newer one. */
const updateSql = `
UPDATE dead_letters SET ${bodyAssignments(4)}
WHERE id = $1::text::bigint AND body = $2::bytea AND body_sha256 = $3::bytea RETURNING id`

/** Merges two rows of the same bytes, from workers of two versions or without a common key. */
const mergeSql = `
WITH twin AS (
  SELECT min(id) AS id FROM dead_letters
  WHERE event_id IS NULL AND id <> $1::text::bigint AND body_digest IN (SELECT decode(digest, 'hex') FROM unnest($2::text[]) AS digest)
), gone AS (
  DELETE FROM dead_letters USING twin
  WHERE dead_letters.id = $1::text::bigint AND event_id IS NULL AND body_sha256 = $3::bytea AND twin.id IS NOT NULL
  RETURNING twin.id AS twin_id, state
), reopened AS (
  UPDATE dead_letters SET state = 'open', resolved_at = NULL FROM gone
  WHERE dead_letters.id = gone.twin_id AND gone.state = 'open'
)
SELECT twin_id FROM gone`

/** The number of rewritten rows, and the ids of rows whose body no key decrypts. */
export type RefreshReport = { readonly refreshed: number; readonly undecryptableIds: readonly string[] }

async function refreshOne(connection: MaintenanceConnection, row: StoredRow, digestKey: Uint8Array): Promise<number> {
  const { keys } = connection
  const body = decryptBytes(row.body, placeOfBody(row.body_sha256), keys)
  const isWhole = isAsReceived(row, body)
  const kept = !isWhole && isEmptied(body) ? emptiedBody() : body
  const old = [row.id, Buffer.from(row.body), Buffer.from(row.body_sha256)]
  return connection.transaction('latest', async () => {
    await connection.query(shareSql, [])
    if (isWhole && row.isOfBytes) {
      const digests = possibleDigests(body, keys, digestKey)
      await lockBytes(connection, digests)
      if ((await connection.query(mergeSql, [row.id, digests, old[2]])).length > 0) return 1
    }
    const parameters = [...old, ...bodyParameters(kept, keys, isWhole ? digestKey : null)]
    return (await connection.query(updateSql, parameters)).length
  })
}

/**
 * Rewrites bodies of dead letters: encrypted with the newest key, under a random name, with a digest under the newest key.
 * It commits row by row and may be interrupted and repeated at any time.
 */
export async function refreshDeadLetters(
  connection: MaintenanceConnection,
  which: RefreshedDeadLetters,
  onPage: (rows: number) => void = () => undefined,
): Promise<RefreshReport> {
  const { newestId } = connection.keys
  const prefix = bytesPrefix(newestId ?? '').toString('hex')
  const digestKey = await readDigestKey(connection)
  let refreshed = 0
  const undecryptableIds: string[] = []
  for (let after: string | undefined = '0'; after !== undefined;) {
    const page: readonly StoredRow[] = await (which === 'older'
      ? connection.query<StoredRow>(olderSql, [after])
      : connection.query<StoredRow>(allSql, [after, newestId, prefix]))
    for (const row of page) {
      try {
        refreshed += await refreshOne(connection, row, digestKey)
      } catch (error) {
        if (!(error instanceof DecryptionError)) throw error
        undecryptableIds.push(row.id)
      }
    }
    onPage(page.length)
    after = page.at(-1)?.id
  }
  return { refreshed, undecryptableIds }
}

/**
 * Removes unkeyed digests of older versions from dead letters; null while other maintenance runs. Workers call it
 * repeatedly, since older workers write such rows until all are replaced.
 */
export async function removeUnkeyedDigests(
  database: Database,
  options: MaintenanceOptions,
): Promise<RefreshReport | null> {
  const found = await database.prisma.$queryRawUnsafe<readonly unknown[]>(
    `SELECT 1 FROM dead_letters WHERE ${isOlderRowSql} LIMIT 1`,
  )
  if (found.length === 0) return { refreshed: 0, undecryptableIds: [] }
  let connection: MaintenanceConnection
  try {
    connection = await openMaintenance(options, 'public')
  } catch (error) {
    if (error instanceof MaintenanceBusyError) return null
    throw error
  }
  try {
    return await refreshDeadLetters(connection, 'older')
  } finally {
    await connection.close()
  }
}
