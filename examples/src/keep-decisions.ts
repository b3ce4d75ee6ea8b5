/* Keeps every decision about an inquiry exactly once in a table of the application's own. */
import { openReader, type ChangeBatch } from '@persona-ingest/reader'
import { Pool } from 'pg'

const DECISIONS: ReadonlySet<string | null> = new Set(['approved', 'declined'])

// A large tick comes in parts. A program that ends within one gets its first parts again, so that the key is needed.
const tableSql = `
CREATE TABLE IF NOT EXISTS decisions (
  inquiry_id text, version bigint, status text NOT NULL, decided_at timestamptz NOT NULL, PRIMARY KEY (inquiry_id, version)
)`

const keepSql = `
INSERT INTO decisions (inquiry_id, version, status, decided_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[]) ON CONFLICT DO NOTHING`

/** The decisions and the cursor are committed together, or neither is. */
async function keep(pool: Pool, batch: ChangeBatch): Promise<void> {
  const decided = batch.changes.filter(
    ({ family, status, previousStatus }) => family === 'inquiry' && DECISIONS.has(status) && status !== previousStatus,
  )
  const client = await pool.connect()
  let isCommitted = false
  try {
    await client.query('BEGIN')
    await client.query(keepSql, [
      decided.map(({ objectId }) => objectId),
      decided.map(({ version }) => version),
      decided.map(({ status }) => status),
      decided.map(({ changedAt }) => changedAt),
    ])
    await batch.commit(client)
    await client.query('COMMIT')
    isCommitted = true
  } finally {
    // A transaction that failed ends with its connection.
    client.release(!isCommitted)
  }
}

const { DATABASE_URL } = process.env
if (!DATABASE_URL) {
  console.error('Usage: DATABASE_URL=postgresql://... keep-decisions')
  process.exit(2)
}
const ending = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort())
const pool = new Pool({ connectionString: DATABASE_URL, max: 1, connectionTimeoutMillis: 5_000, query_timeout: 10_000 })
// Without a listener, an idle connection that breaks ends the process.
pool.on('error', () => undefined)
const reader = openReader({ url: DATABASE_URL, onOutage: ({ message }) => console.error(`waiting: ${message}`) })
try {
  await pool.query(tableSql)
  for await (const batch of reader.changes({ consumer: 'decisions', from: 'start', signal: ending.signal })) {
    await keep(pool, batch)
    console.log(`kept up to tick ${batch.tick}`)
  }
} finally {
  await reader.close()
  await pool.end()
}
