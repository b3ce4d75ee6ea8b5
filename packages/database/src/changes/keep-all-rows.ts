import type { Database } from '../database.ts'
import { keepPrepared } from '../sql/executor.ts'
import { keepNotifications, type ChangeFamily } from './notifications.ts'

const PAGE = 2_000

type Row = {
  readonly id: string
  readonly version: string
  readonly inquiry_id: string | null
  readonly event_id: string | null
  readonly status: string | null
}

const pageSql = (table: string, inquiryId: string) =>
  keepPrepared(`SELECT id, version::text AS version, ${inquiryId} AS inquiry_id, event_id, status FROM ${table}
WHERE id > $1::text COLLATE "C" ORDER BY id LIMIT ${PAGE}`)

const pages: Readonly<Record<ChangeFamily, string>> = {
  inquiry: pageSql('inquiries', 'id'),
  verification: pageSql('verifications', 'inquiry_id'),
  resource: pageSql('resources', 'inquiry_id'),
}

const tickSql = 'SELECT GREATEST(latest_change_tick(), f.oldest_tick)::text AS tick FROM change_feed f WHERE f.id = 1'
const moveSql = 'UPDATE change_consumers SET tick = $2::text::bigint, updated_at = clock_timestamp() WHERE name = $1'

/**
 * Keeps every row of some families for sending, as it is now, and moves the cursor to the tick that was the newest before:
 * for a consumer whose cursor expired, so that nobody can tell which rows it missed. The cause is `rebuild`. Safe to repeat.
 * Resolves to the number of rows.
 */
export async function keepAllRows(
  database: Database,
  { consumer, families }: { readonly consumer: string; readonly families: readonly ChangeFamily[] },
): Promise<number> {
  const [newest] = await database.sql.query<{ tick: string }>(tickSql, [])
  let count = 0
  for (const family of families) {
    for (let after = ''; ;) {
      const rows = await database.sql.query<Row>(pages[family], [after])
      const last = rows.at(-1)
      if (last === undefined) break
      const changedAt = new Date()
      const changes = rows.map((row) => ({
        family,
        objectId: row.id,
        inquiryId: row.inquiry_id,
        version: BigInt(row.version),
        cause: 'rebuild',
        eventId: row.event_id,
        status: row.status,
        previousStatus: null,
        changedAt,
      }))
      await keepNotifications(database.sql, consumer, changes)
      count += rows.length
      after = last.id
    }
  }
  await database.sql.query(moveSql, [consumer, newest?.tick ?? '0'])
  return count
}
