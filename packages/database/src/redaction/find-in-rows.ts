import { attributeText, parseExact, type JsonObject } from '@persona-ingest/persona'
import { openDocument } from '../sql/encrypted-values.ts'
import { openedUnlessTold, type SqlExecutor } from '../sql/executor.ts'

const ROWS_PER_PAGE = 5_000

/**
 * Attributes have no index: page by page, so that each statement ends well within its timeout. Those that are sealed come
 * along, to be opened here.
 */
const accountsPageSql = `
WITH page AS (SELECT id, type, attributes FROM resources WHERE id > $1 ORDER BY id LIMIT ${ROWS_PER_PAGE})
SELECT max(id) AS last,
  array_agg(id) FILTER (WHERE type = 'account' AND attributes->>'reference_id' = $2) AS found,
  json_agg(json_build_array(id, attributes::text))
    FILTER (WHERE type = 'account' AND jsonb_typeof(attributes) = 'string') AS sealed
FROM page`

type Page = {
  readonly last: string | null
  readonly found: readonly string[] | null
  readonly sealed: readonly (readonly [id: string, attributes: string])[] | null
}

/** The text of an account's attribute, from the JSON text of all. */
function referenceIdIn(attributes: string): string | null {
  return attributeText((parseExact(attributes) as JsonObject)['reference_id'])
}

/** The inquiries and accounts whose rows show a reference id. */
export async function findByReferenceInRows(
  executor: SqlExecutor,
  referenceId: string,
): Promise<{ readonly inquiryIds: Set<string>; readonly accountIds: Set<string> }> {
  const inquiries = await executor.query<{ id: string }>('SELECT id FROM inquiries WHERE reference_id = $1', [
    referenceId,
  ])
  const accountIds = new Set<string>()
  for (let after: string | null = ''; after !== null;) {
    const [page]: readonly Page[] = await executor.query<Page>(accountsPageSql, [after, referenceId])
    for (const id of page?.found ?? []) accountIds.add(id)
    for (const [id, sealed] of page?.sealed ?? []) {
      const open = () => openDocument(sealed, ['resources', id, 'attributes'], executor.keys)
      const attributes = openedUnlessTold(executor, { table: 'resources', id }, open)
      if (attributes !== null && referenceIdIn(attributes) === referenceId) accountIds.add(id)
    }
    after = page?.last ?? null
  }
  return { inquiryIds: new Set(inquiries.map(({ id }) => id)), accountIds }
}
