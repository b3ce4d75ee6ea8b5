import { openDatabase, storeDeadLetter, storeEvents } from '@persona-ingest/database'
import { readEvent } from '@persona-ingest/persona'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { createLogger } from '@persona-ingest/service'
import { Client } from 'pg'
import t from 'tap'
import { scheduledPrune } from '../../src/upkeep.ts'
import { aWorkerProcess, says } from '../fixtures/a-worker-process.ts'
import { deliveries } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const addresses = { REDIS_URL: redis.url, DATABASE_URL: url }
const DAY_MS = 86_400_000
const now = Date.now()

const database = openDatabase({ encryptionKeys: [], url })
t.teardown(() => database.close())
const events = deliveries(20).map(({ body, environment }, index) =>
  readEvent({ body, environment, receivedAtMs: now - (index < 15 ? 3.5 : 0.5) * DAY_MS }),
)
await storeEvents(database, events)
for (const key of ['old', 'young', 'open'])
  await storeDeadLetter(database, { eventId: `evt_${key}`, environment: 'production', reason: 'INVALID_JSON', error: 'x', body: Buffer.from(key), receivedAtMs: now, attempts: 0 }) // prettier-ignore
await sql(`UPDATE dead_letters SET state = 'discarded', resolved_at = now() - CASE event_id WHEN 'evt_old' THEN interval '8 days' ELSE interval '1 day' END
  WHERE event_id <> 'evt_open'`) // prettier-ignore
const pruned = async () => (await sql('SELECT id FROM events WHERE pruned_at IS NOT NULL')).length
const deadLetters = async () =>
  (await sql('SELECT event_id FROM dead_letters ORDER BY 1')).map(({ event_id: id }) => id)

t.test('without the variables nothing is pruned; with them several workers prune once', async (t) => {
  const idle = await aWorkerProcess(t, addresses)
  const env = { ...addresses, PRUNE_EVENTS_AFTER_DAYS: '3', PRUNE_DEAD_LETTERS_AFTER_DAYS: '7' }
  const workers = await Promise.all([aWorkerProcess(t, env), aWorkerProcess(t, env)])
  await eventually(async () => (await pruned()) === 15, { deadlineMs: 60_000 })
  await eventually(async () => (await deadLetters()).length === 2, { deadlineMs: 60_000 })
  t.strictSame(await deadLetters(), ['evt_open', 'evt_young'])
  await eventually(async () => (await sql('SELECT id FROM operations WHERE ended_at IS NULL')).length === 0)
  // A worker that counted before another pruned finds nothing left after it; one that comes meanwhile finds it busy.
  const [first, ...others] = await sql(
    `SELECT command, operator, reason, arguments, outcome, counts FROM operations
     WHERE NOT (outcome = 'failed' AND counts = '{}') ORDER BY operations.id`,
  )
  const args = { events_after_days: 3, dead_letters_after_days: 7 }
  const done = { command: 'prune', operator: 'worker', reason: 'schedule', arguments: args, outcome: 'done' }
  t.match(first, { ...done, counts: { events: 15, dead_letters: 1 } })
  for (const other of others) t.match(other, { ...done, counts: {} })
  const told = () =>
    workers
      .flatMap((worker) => worker.lines.filter(says('pruned what has come of age')))
      .map((line) => JSON.parse(line))
  await eventually(() => told().some(({ events }) => events === 15))
  for (const worker of [idle, ...workers]) {
    worker.signal('SIGTERM')
    t.strictSame(await worker.exit, { code: 0, signal: null })
  }
  t.equal(told().reduce((sum, { events }) => sum + Number(events), 0), 15, 'each event once') // prettier-ignore
  t.equal(idle.count('pruned what has come of age'), 0)
  t.equal(await pruned(), 15)
})

t.test('a prune that fails is told in words of our own, and the worker goes on', async (t) => {
  await sql(`UPDATE events SET pruned_at = NULL`)
  await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused %', OLD.payload; END $$`)
  await sql('CREATE TRIGGER refuse BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse()')
  const worker = await aWorkerProcess(t, { ...addresses, PRUNE_EVENTS_AFTER_DAYS: '3' })
  await worker.said('prune failed, trying again in a minute', 30_000)
  t.equal((await worker.get('/livez')).status, 200)
  t.notMatch(worker.lines.join(), 'refused')
  t.match(await sql('SELECT outcome FROM operations ORDER BY id DESC LIMIT 1'), [{ outcome: 'failed' }])
})

t.test(
  'a prune that meets another one, or a rebuild, is tried again after a pause and not after an hour',
  async (t) => {
    await sql('DROP TRIGGER refuse ON events')
    await sql(`UPDATE events SET pruned_at = NULL`)
    const busy = new Client({ connectionString: url })
    await busy.connect()
    await busy.query('SELECT pg_advisory_lock(723114602)')
    const lines: string[] = []
    const pruning = scheduledPrune({
      env: {
        DATABASE_URL: url,
        STORAGE_ENCRYPTION_KEYS: [],
        PRUNE_EVENTS_AFTER_DAYS: 3,
        PRUNE_DEAD_LETTERS_AFTER_DAYS: 0,
      },
      database,
      logger: createLogger({
        app: 'worker',
        level: 'debug',
        destination: { write: (line: string) => void lines.push(line) },
      }),
      shutdown: new AbortController().signal,
      retryMs: 100,
    })
    pruning.start()
    t.teardown(() => pruning.stop())
    await eventually(() => lines.some((line) => line.includes('under way')), { deadlineMs: 60_000 })
    t.equal(await pruned(), 0)
    await busy.end()
    await eventually(async () => (await pruned()) === 15, { deadlineMs: 60_000 })
  },
)
