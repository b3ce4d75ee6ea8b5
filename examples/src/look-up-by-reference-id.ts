/* Prints every inquiry of one of your users, the newest first, with its verifications. */
import { Client } from 'pg'

// `reference_id` is indexed. It is the id that your application gave the inquiry; a redaction removes it.
const inquiriesSql = `
SELECT i.id, i.environment, i.status, i.created_at, i.decisioned_at,
  coalesce(
    jsonb_agg(jsonb_build_object('type', v.type, 'status', v.status) ORDER BY v.created_at, v.id)
      FILTER (WHERE v.id IS NOT NULL),
    '[]'
  ) AS verifications
FROM inquiries i LEFT JOIN verifications v ON v.inquiry_id = i.id
WHERE i.reference_id = $1
GROUP BY i.id
ORDER BY i.created_at DESC NULLS LAST, i.id`

const { DATABASE_URL } = process.env
const referenceId = process.argv[2]
if (!DATABASE_URL || referenceId === undefined) {
  console.error('Usage: DATABASE_URL=postgresql://... look-up-by-reference-id <reference id>')
  process.exit(2)
}
const client = new Client({ connectionString: DATABASE_URL })
await client.connect()
try {
  const { rows } = await client.query(inquiriesSql, [referenceId])
  console.log(JSON.stringify(rows, null, 2))
  // As `pnpm ops` does: 1 where nothing is found.
  if (rows.length === 0) process.exitCode = 1
} finally {
  await client.end()
}
