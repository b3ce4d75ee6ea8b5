/* Receives the notifier's requests: verifies the signature, drops what is not newer, answers. */
import { createServer, type IncomingMessage } from 'node:http'
import { Pool } from 'pg'
import { Webhook, WebhookVerificationError } from 'standardwebhooks'

const MAX_BODY_BYTES = 65_536

// One statement decides and stores: of two requests about one object, the older version never wins.
const TABLE = 'CREATE TABLE IF NOT EXISTS known_inquiries (id TEXT PRIMARY KEY, version BIGINT NOT NULL, status TEXT)'
const keepSql = `
INSERT INTO known_inquiries AS k (id, version, status) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status WHERE k.version < excluded.version
RETURNING id`

type Change = {
  readonly type: string
  readonly data: { readonly id: string; readonly version: number; readonly status: string | null }
}

const { DATABASE_URL, NOTIFIER_SECRET, PORT = '8090' } = process.env
if (!DATABASE_URL || !NOTIFIER_SECRET) {
  console.error('Usage: DATABASE_URL=postgresql://... NOTIFIER_SECRET=whsec_... receive-notifications')
  process.exit(2)
}
// The database of your application, not that of persona-ingest.
const pool = new Pool({ connectionString: DATABASE_URL, connectionTimeoutMillis: 5_000, query_timeout: 5_000 })
const webhook = new Webhook(NOTIFIER_SECRET)

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new RangeError('body too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

async function receive(request: IncomingMessage): Promise<number> {
  const body = await bodyOf(request)
  let change: Change
  try {
    change = webhook.verify(body, request.headers as Record<string, string>) as Change
  } catch (error) {
    if (error instanceof WebhookVerificationError) return 401
    throw error
  }
  const { id, version, status } = change.data
  const { rowCount } = await pool.query(keepSql, [id, version, status])
  if (rowCount === 1) console.log(JSON.stringify({ type: change.type, id, version, status }))
  return 204
}

await pool.query(TABLE)
const server = createServer((request, response) => {
  const answer = (status: number): unknown => response.writeHead(status).end()
  // Not stored: anything but 2xx, so that it is sent again.
  receive(request).then(answer, () => answer(500))
})
server.listen(Number(PORT), () => console.error('receiving'))
