import type { SqlExecutor } from '../sql/executor.ts'

const PAGE = 500

/** The state is looked at again under the row's lock: one that failed again meanwhile is open again, and stays. */
const deleteSql = `
WITH page AS (
  SELECT id FROM dead_letters
  WHERE dead_letters.id > $2::text::bigint AND state <> 'open' AND resolved_at < $1::timestamptz
  ORDER BY dead_letters.id LIMIT ${PAGE} FOR UPDATE
), gone AS (
  DELETE FROM dead_letters WHERE id IN (SELECT id FROM page) AND state <> 'open' AND resolved_at < $1::timestamptz
)
SELECT count(*)::int AS count, max(id)::text AS last FROM page`

/** Deletes the dead letters that were replayed or discarded before a time, a page at a time. */
export async function pruneLetters(
  executor: SqlExecutor,
  before: Date,
  onPage: (done: number) => void,
): Promise<number> {
  let gone = 0
  for (let after = '0'; ;) {
    const [page] = await executor.query<{ count: number; last: string | null }>(deleteSql, [
      before.toISOString(),
      after,
    ])
    gone += page?.count ?? 0
    onPage(gone)
    const last = page?.last ?? null
    if (last === null) return gone
    after = last
  }
}
