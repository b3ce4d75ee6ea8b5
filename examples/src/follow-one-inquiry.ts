/* Prints the events of one inquiry as they are stored, until the inquiry is decided. */
import { setTimeout as pause } from 'node:timers/promises'
import { Pool } from 'pg'

const POLL_MS = 500
const DECISIONS: ReadonlySet<unknown> = new Set(['approved', 'declined'])

// Bounded waits: a database that accepts connections and never answers must not stop the program for good.
const TIMEOUTS = { connectionTimeoutMillis: 5_000, query_timeout: 10_000 }

const timelineSql = `
SELECT event_id, event_name, event_created_at, received_at, status, out_of_order
FROM inquiry_timeline WHERE inquiry_id = $1 ORDER BY event_created_at, event_id`

async function follow(pool: Pool, inquiryId: string): Promise<void> {
  // Not "everything after the last row": an event that arrives late stands between events that were printed before.
  const printed = new Set<string>()
  for (;;) {
    // The status is read first. All events of a decided inquiry that were stored by then are in the rows read next.
    const inquiry = await pool.query('SELECT status FROM inquiries WHERE id = $1', [inquiryId])
    const timeline = await pool.query<{ readonly event_id: string }>(timelineSql, [inquiryId])
    for (const row of timeline.rows.filter(({ event_id: id }) => !printed.has(id))) {
      printed.add(row.event_id)
      console.log(JSON.stringify(row))
    }
    if (DECISIONS.has(inquiry.rows[0]?.status)) return
    await pause(POLL_MS)
  }
}

const { DATABASE_URL } = process.env
const inquiryId = process.argv[2]
if (!DATABASE_URL || inquiryId === undefined) {
  console.error('Usage: DATABASE_URL=postgresql://... follow-one-inquiry <inquiry id>')
  process.exit(2)
}
const pool = new Pool({ connectionString: DATABASE_URL, max: 1, ...TIMEOUTS })
// Without a listener, an idle connection that breaks ends the process.
pool.on('error', () => undefined)
try {
  await follow(pool, inquiryId)
} finally {
  await pool.end()
}
