/* Keeps a copy of the statuses of all inquiries, and makes it anew from the rows where the feed no longer reaches back. */
import { CursorExpiredError, openReader, type Change, type Inquiry, type Reader } from '@persona-ingest/reader'
import { Pool, type PoolClient } from 'pg'

const CONSUMER = 'statuses'

const tableSql =
  'CREATE TABLE IF NOT EXISTS statuses (inquiry_id text PRIMARY KEY, version bigint NOT NULL, status text)'

// A row may be newer than its change, and a change may come twice: the version decides.
const copySql = `
INSERT INTO statuses (inquiry_id, version, status)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])
ON CONFLICT (inquiry_id) DO UPDATE SET version = excluded.version, status = excluded.status
WHERE excluded.version > statuses.version`

type State = Pick<Inquiry, 'id' | 'version' | 'status'>

/** Of several changes of an object in a batch the last one counts. */
function newestStates(changes: readonly Change[]): readonly State[] {
  const inquiries = changes.filter(({ family }) => family === 'inquiry')
  return [...new Map(inquiries.map(({ objectId: id, version, status }) => [id, { id, version, status }])).values()]
}

async function copy(client: PoolClient, states: readonly State[]): Promise<void> {
  const columns = [states.map(({ id }) => id), states.map(({ version }) => version), states.map(({ status }) => status)]
  await client.query(copySql, columns)
}

async function inTransaction(pool: Pool, work: (client: PoolClient) => Promise<void>): Promise<void> {
  const client = await pool.connect()
  let isCommitted = false
  try {
    await client.query('BEGIN')
    await work(client)
    await client.query('COMMIT')
    isCommitted = true
  } finally {
    // A transaction that failed ends with its connection.
    client.release(!isCommitted)
  }
}

/** Takes all rows as they are. Gives the tick from which changes follow. */
async function copyAll(reader: Reader, pool: Pool): Promise<bigint> {
  // Before the rows: a change between the two comes again later. After the rows it would be missed.
  const tick = await reader.latestTick()
  await inTransaction(pool, async (client) => {
    // After a restore, rows have lower versions than before.
    await client.query('DELETE FROM statuses')
    let after: string | null = null
    do {
      const page = await reader.listInquiries({ order: 'id', limit: 1_000, after })
      await copy(client, page.rows)
      after = page.next
    } while (after !== null)
  })
  console.log(`copied all rows, from tick ${tick}`)
  return tick
}

/** Follows the changes, and starts again where the cursor has expired. */
async function follow(reader: Reader, pool: Pool, signal: AbortSignal): Promise<void> {
  const known = await pool.query('SELECT tick FROM change_consumers WHERE name = $1', [CONSUMER])
  // A new consumer starts from the rows too. The tick is stored after them.
  let from = known.rowCount === 0 ? await copyAll(reader, pool) : undefined
  while (!signal.aborted) {
    try {
      for await (const batch of reader.changes({ consumer: CONSUMER, from, signal })) {
        await inTransaction(pool, async (client) => {
          await copy(client, newestStates(batch.changes))
          await batch.commit(client)
        })
        console.log(`copied up to tick ${batch.tick}`)
      }
    } catch (error) {
      if (!(error instanceof CursorExpiredError)) throw error
      from = await copyAll(reader, pool)
    }
  }
}

const { DATABASE_URL } = process.env
if (!DATABASE_URL) {
  console.error('Usage: DATABASE_URL=postgresql://... copy-statuses')
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
  await follow(reader, pool, ending.signal)
} finally {
  await reader.close()
  await pool.end()
}
