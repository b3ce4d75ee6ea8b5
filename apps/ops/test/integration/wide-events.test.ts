import { openDatabase, storeEvents } from '@persona-ingest/database'
import { readEvent } from '@persona-ingest/persona'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { anEvent, anObject, bodyOf } from '@persona-ingest/testkit/events'
import t from 'tap'
import { runCli } from '../fixtures/run-cli.ts'

const EVENTS = 12
const HEAP_MB = 160

/** Text of 1.5 MB that is stored in some 40 KB, and made of so many values that it takes much of the heap once parsed. */
function wideEvent(index: number) {
  const answers = Array.from({ length: 60_000 }, () => ({ at: 1, is: { so: 1 } }))
  const data = anObject('inquiry', 'inq_1', { attributes: { answers } })
  const createdAt = new Date(Date.UTC(2026, 1, 3) + index * 1_000).toISOString()
  const body = bodyOf(anEvent({ id: `evt_${index}`, createdAt, data }))
  return readEvent({ body, environment: 'production', receivedAtMs: Date.UTC(2026, 1, 4) })
}

const { url, sql } = await throwAwayDatabase(t)
const database = openDatabase({ encryptionKeys: [], url })
for (let index = 0; index < EVENTS; index += 1) await storeEvents(database, [wideEvent(index)])
await database.close()

const ops = async (...args: string[]) =>
  runCli(args, { DATABASE_URL: url, LOG_LEVEL: 'silent', NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` })

t.test('a log of wide events is verified with a small heap', async (t) => {
  const [stored] = await sql('SELECT sum(pg_column_size(payload))::int AS bytes FROM events')
  t.comment(`${String(stored?.['bytes'])} bytes stored`)
  const verified = await ops('rebuild', '--verify', '--json')
  t.equal(verified.code, 0, verified.stderr)
  t.match(JSON.parse(verified.stdout), { events: EVENTS, differences: { total: 0 } })
})

t.test('an object that stands in wide events is erased with a small heap', async (t) => {
  const erased = await ops('erase', 'inq_1', '--yes', '--reason', 'a test')
  t.equal(erased.code, 0, erased.stderr)
  t.strictSame(await sql('SELECT id FROM events WHERE length(payload::text) > 10000'), [])
  t.equal((await ops('rebuild', '--verify')).code, 0)
})
