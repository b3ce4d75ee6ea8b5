import { Client } from 'pg'
import t from 'tap'
import { eventually } from '@persona-ingest/testkit'
import { aDatabase } from '../fixtures/a-database.ts'
import { anObject } from '../fixtures/an-event.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'

const HELD_LOCK = 42
/** Timers of minutes run out in a fraction of a second: a limit on a transaction as a whole strikes in time for a test. */
const LONG_MS = 120_000
const SHORTENED_BY = 2_000

t.test('a redaction may take longer than any limit on a transaction as a whole', async (t) => {
  const { url, sql, store } = await aDatabase(t)
  await store({ id: 'evt_1', data: anObject('inquiry', 'inq_1', { attributes: { 'name-first': 'MARK' } }) })
  await sql(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(${HELD_LOCK}); RETURN NEW; END $$`)
  await sql('CREATE TRIGGER hold BEFORE INSERT ON redactions FOR EACH ROW EXECUTE FUNCTION hold()')
  const holder = new Client({ connectionString: url })
  await holder.connect()
  await holder.query(`SELECT pg_advisory_lock(${HELD_LOCK})`)

  const { setTimeout: ownTimeout } = globalThis
  const shortened = (callback: () => void, ms = 0) => ownTimeout(callback, ms >= LONG_MS ? ms / SHORTENED_BY : ms)
  globalThis.setTimeout = shortened as unknown as typeof setTimeout
  t.teardown(() => (globalThis.setTimeout = ownTimeout))

  const redacting = store({
    id: 'evt_2',
    name: 'inquiry.redacted',
    createdAt: '2026-02-03T12:00:00.000Z',
    data: anObject('inquiry', 'inq_1', { attributes: { 'redacted-at': '2026-02-03T12:00:00.000Z' } }),
  })
  await eventually(async () => (await sql(`SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory'`)).length > 0)
  await new Promise((resolve) => ownTimeout(resolve, 1_000))
  await holder.end()
  t.match(await redacting, new Map([['evt_2', 'applied']]))
  t.notMatch(JSON.stringify(await sql('SELECT payload FROM events')), 'MARK')
  t.strictSame(linesOf(await verified(url)), [])
})
