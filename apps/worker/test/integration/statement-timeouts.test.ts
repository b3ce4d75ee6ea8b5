import { setTimeout as delay } from 'node:timers/promises'
import { rebuild } from '@persona-ingest/database'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, deliveries } from '../fixtures/an-event.ts'

const { url: databaseUrl, sql } = await throwAwayDatabase(t)
const { url: redisUrl } = await throwAwayRedis(t)
t.beforeEach(async () => {
  await sql('TRUNCATE events, event_objects, claims, redactions, inquiries, verifications, resources, objects, dead_letters') // prettier-ignore
})

const count = async (what: string) => Number((await sql(`SELECT count(*)::int AS count FROM ${what}`))[0]?.['count'])

async function rebuiltAsStored(t: Test): Promise<void> {
  const differences: unknown[] = []
  const report = await rebuild({
    databaseUrl,
    encryptionKeys: [],
    isVerifying: true,
    onDifference: (one) => void differences.push(one),
  })
  t.strictSame(differences, [])
  t.equal(report.faultyEvents, 0)
}

/** Lets the write of the events that a condition finds take so long. */
async function sleeping(t: Test, seconds: number, condition: string) {
  await sql(`CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF ${condition} THEN PERFORM pg_sleep(${seconds}); END IF; RETURN NEW; END $$`)
  await sql('CREATE TRIGGER sleep BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION sleep()')
  const end = () => sql('DROP FUNCTION IF EXISTS sleep() CASCADE')
  t.teardown(end)
  return { end }
}

const SHORT_TIMEOUT = { sessionSettings: { statement_timeout: '500ms' } }

t.test('a statement timeout that meets every event uses up no attempt', { timeout: 60_000 }, async (t) => {
  const queue = aQueue(t, { redisUrl, databaseUrl })
  const sleep = await sleeping(t, 60, 'true')
  const { lines } = queue.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
  await queue.enqueue(deliveries(20))
  // Both attempts of an event, with the pause between them, take less.
  await delay(15_000)
  t.equal(await count('events'), 0)
  await sleep.end()
  await queue.isEmpty(30_000)
  t.equal(await count('dead_letters'), 0)
  t.equal(await count('events'), 20)
  t.notMatch(lines.join('\n'), /event failed, retrying/)
  await rebuiltAsStored(t)
})

t.test('a statement timeout that is too short for a batch uses up no attempt', { timeout: 60_000 }, async (t) => {
  const queue = aQueue(t, { redisUrl, databaseUrl })
  await sleeping(t, 0.1, 'true')
  const { lines } = queue.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
  await queue.enqueue(deliveries(20))
  await queue.isEmpty(40_000)
  t.equal(await count('dead_letters'), 0)
  t.equal(await count('events'), 20)
  t.notMatch(lines.join('\n'), /event failed, retrying/)
  await rebuiltAsStored(t)
})

t.test('an event whose statement always times out while others pass becomes a dead letter', async (t) => {
  const queue = aQueue(t, { redisUrl, databaseUrl })
  await sleeping(t, 60, `NEW.id = 'evt_13'`)
  queue.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
  await queue.enqueue(deliveries(20))
  await eventually(async () => (await count('events')) === 19, { deadlineMs: 20_000 })
  await eventually(async () => (await count('dead_letters')) === 1, { deadlineMs: 20_000 })
  t.match(await sql('SELECT event_id, reason, attempts FROM dead_letters'), [
    { event_id: 'evt_13', reason: 'ATTEMPTS_EXHAUSTED', attempts: 2 },
  ])
  await queue.isEmpty(20_000)
  await rebuiltAsStored(t)
})

t.test('events that wait for the row of an inquiry which another session locks use up no attempt', async (t) => {
  const queue = aQueue(t, { redisUrl, databaseUrl })
  const { lines } = queue.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
  await queue.enqueue([aDelivery({ id: 'evt_first' })])
  await queue.isEmpty()
  const other = new Client({ connectionString: databaseUrl })
  await other.connect()
  t.teardown(() => other.end())
  await other.query(`BEGIN; SELECT FROM inquiries WHERE id = 'inq_1' FOR UPDATE`)
  const createdAt = (index: number) => new Date(Date.UTC(2026, 3, 1) + index * 1_000).toISOString()
  await queue.enqueue(
    Array.from({ length: 20 }, (_, index) => aDelivery({ id: `evt_${index}`, createdAt: createdAt(index) })),
  )
  await delay(10_000)
  t.equal(await count('events'), 1)
  await other.query('ROLLBACK')
  await queue.isEmpty(30_000)
  t.equal(await count('dead_letters'), 0)
  t.equal(await count('events'), 21)
  t.notMatch(lines.join('\n'), /event failed, retrying/)
  await rebuiltAsStored(t)
})
