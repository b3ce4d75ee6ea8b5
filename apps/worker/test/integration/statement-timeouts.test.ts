import { setTimeout as delay } from 'node:timers/promises'
import { rebuild } from '@persona-ingest/database'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, deliveries } from '../fixtures/an-event.ts'

// Most of the time is spent waiting for statements to time out.
t.jobs = 4
const { url: redisUrl } = await throwAwayRedis(t)

/** A database and a queue of a test's own. */
async function aSystem(t: Test) {
  const { url: databaseUrl, sql } = await throwAwayDatabase(t)
  const queue = aQueue(t, { redisUrl, databaseUrl })
  return {
    ...queue,
    databaseUrl,
    count: async (what: string) => Number((await sql(`SELECT count(*)::int AS count FROM ${what}`))[0]?.['count']),
    sql,
    /** Lets the write of the events that a condition finds take so long. */
    sleeping: async (seconds: number, condition: string) => {
      await sql(`CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF ${condition} THEN PERFORM pg_sleep(${seconds}); END IF; RETURN NEW; END $$`)
      await sql('CREATE TRIGGER sleep BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION sleep()')
      return { end: () => sql('DROP FUNCTION sleep() CASCADE') }
    },
    rebuiltAsStored: async () => {
      const differences: unknown[] = []
      const onDifference = (one: unknown) => void differences.push(one)
      const report = await rebuild({ databaseUrl, encryptionKeys: [], isVerifying: true, onDifference })
      t.strictSame(differences, [])
      t.equal(report.faultyEvents, 0)
    },
  }
}

const options = { timeout: 120_000, buffered: true }
const SHORT_TIMEOUT = { sessionSettings: { statement_timeout: '500ms' } }

t.test('a statement timeout that meets every event uses up no attempt', options, async (t) => {
  const system = await aSystem(t)
  const sleep = await system.sleeping(60, 'true')
  const { lines } = system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
  await system.enqueue(deliveries(20))
  // Both attempts of an event, with the pause between them, take less.
  await delay(15_000)
  t.equal(await system.count('events'), 0)
  await sleep.end()
  await system.isEmpty(30_000)
  t.equal(await system.count('dead_letters'), 0)
  t.equal(await system.count('events'), 20)
  t.notMatch(lines.join('\n'), /event failed, retrying/)
  await system.rebuiltAsStored()
})

t.test('a statement timeout that is too short for a batch uses up no attempt', options, async (t) => {
  const system = await aSystem(t)
  await system.sleeping(0.1, 'true')
  const { lines } = system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
  await system.enqueue(deliveries(20))
  await system.isEmpty(40_000)
  t.equal(await system.count('dead_letters'), 0)
  t.equal(await system.count('events'), 20)
  t.notMatch(lines.join('\n'), /event failed, retrying/)
  await system.rebuiltAsStored()
})

t.test('an event whose statement always times out while others pass becomes a dead letter', options, async (t) => {
  const system = await aSystem(t)
  await system.sleeping(60, `NEW.id = 'evt_13'`)
  system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
  await system.enqueue(deliveries(20))
  await eventually(async () => (await system.count('events')) === 19, { deadlineMs: 20_000 })
  await eventually(async () => (await system.count('dead_letters')) === 1, { deadlineMs: 20_000 })
  t.match(await system.sql('SELECT event_id, reason, attempts FROM dead_letters'), [
    { event_id: 'evt_13', reason: 'ATTEMPTS_EXHAUSTED', attempts: 2 },
  ])
  await system.isEmpty(20_000)
  await system.rebuiltAsStored()
})

t.test(
  'events that wait for the row of an inquiry which another session locks use up no attempt',
  options,
  async (t) => {
    const system = await aSystem(t)
    const { lines } = system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' }, SHORT_TIMEOUT)
    await system.enqueue([aDelivery({ id: 'evt_first' })])
    await system.isEmpty()
    const other = new Client({ connectionString: system.databaseUrl })
    await other.connect()
    t.teardown(() => other.end())
    await other.query(`BEGIN; SELECT FROM inquiries WHERE id = 'inq_1' FOR UPDATE`)
    const createdAt = (index: number) => new Date(Date.UTC(2026, 3, 1) + index * 1_000).toISOString()
    await system.enqueue(
      Array.from({ length: 20 }, (_, index) => aDelivery({ id: `evt_${index}`, createdAt: createdAt(index) })),
    )
    await delay(10_000)
    t.equal(await system.count('events'), 1)
    await other.query('ROLLBACK')
    await system.isEmpty(30_000)
    t.equal(await system.count('dead_letters'), 0)
    t.equal(await system.count('events'), 21)
    t.notMatch(lines.join('\n'), /event failed, retrying/)
    await system.rebuiltAsStored()
  },
)
