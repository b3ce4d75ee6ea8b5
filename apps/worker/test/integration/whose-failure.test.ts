import { rebuild } from '@persona-ingest/database'
import { eventually, throwAwayCopy, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, deliveries } from '../fixtures/an-event.ts'

// Most of the time is spent in the pauses between attempts.
t.jobs = 4
const { url: redisUrl } = await throwAwayRedis(t)
const original = await throwAwayDatabase(t, { settings: { max_connections: '300' } })

/** A database and a queue of a test's own, in which PostgreSQL refuses what a test tells it to. */
async function aSystem(t: Test) {
  const { url: databaseUrl, sql } = await throwAwayCopy(t, original)
  const queue = aQueue(t, { redisUrl, databaseUrl })
  return {
    ...queue,
    sql,
    count: async (what: string) => Number((await sql(`SELECT count(*)::int AS count FROM ${what}`))[0]?.['count']),
    /** Lets PostgreSQL refuse the events that a condition finds; tells how often it did, rolled back or not. */
    refusing: async (sqlState: string, condition: string) => {
      await sql('CREATE SEQUENCE refusals')
      await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF ${condition} THEN
          PERFORM nextval('refusals');
          RAISE EXCEPTION 'refused' USING ERRCODE = '${sqlState}';
        END IF; RETURN NEW; END $$`)
      await sql('CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()')
      return {
        times: async () => Number((await sql('SELECT last_value FROM refusals'))[0]?.['last_value']),
        end: () => sql('DROP FUNCTION refuse() CASCADE; DROP SEQUENCE refusals'),
      }
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

for (const sqlState of ['57014', '25006', '40001', '40P01', '53100', '53300', '55P03', '57P03']) {
  t.test(`an outage that says ${sqlState} to every event uses up no attempt`, options, async (t) => {
    const system = await aSystem(t)
    const refusal = await system.refusing(sqlState, 'true')
    const { lines } = system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' })
    await system.enqueue(deliveries(20))
    // Both attempts of an event, with the pause between them, take less.
    await eventually(async () => (await refusal.times()) >= 25, { deadlineMs: 40_000 })
    t.equal(await system.count('events'), 0)
    await refusal.end()
    await system.isEmpty(40_000)
    t.equal(await system.count('dead_letters'), 0)
    t.equal(await system.count('events'), 20)
    t.notMatch(lines.join('\n'), /event failed, retrying/)
    await system.rebuiltAsStored()
  })

  t.test(`an event that meets ${sqlState} alone becomes a dead letter, others do not`, options, async (t) => {
    const system = await aSystem(t)
    await system.refusing(sqlState, `NEW.id = 'evt_13'`)
    system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' })
    await system.enqueue(deliveries(20))
    await eventually(async () => (await system.count('events')) === 19, { deadlineMs: 40_000 })
    // They pass while it fails: one after the other, for as long as it takes.
    for (let index = 0; (await system.count('dead_letters')) === 0; index += 1) {
      await system.enqueue([aDelivery({ id: `evt_later_${index}`, inquiryId: `inq_later_${index}` })])
      await eventually(async () => (await system.count('events')) === 20 + index, { deadlineMs: 10_000 })
    }
    await system.isEmpty(40_000)
    t.match(await system.sql('SELECT event_id, reason, attempts FROM dead_letters'), [
      { event_id: 'evt_13', reason: 'ATTEMPTS_EXHAUSTED', attempts: 2 },
    ])
    await system.rebuiltAsStored()
  })
}

t.test('an outage that our own write escapes uses up no attempt', options, async (t) => {
  const system = await aSystem(t)
  const refusal = await system.refusing('57014', `NEW.environment = 'production'`)
  const { lines, logged } = system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' })
  await system.enqueue(deliveries(20))
  await eventually(async () => (await refusal.times()) >= 60, { deadlineMs: 40_000 })
  t.equal(logged('database takes no writes, holding deliveries until it does').length, 1, 'told once')
  await refusal.end()
  await system.isEmpty(40_000)
  t.equal(await system.count('dead_letters'), 0)
  t.equal(await system.count('events'), 20)
  t.notMatch(lines.join('\n'), /event failed, retrying/)
})

t.test('of a burst, the one event at fault becomes a dead letter though nothing comes later', options, async (t) => {
  const system = await aSystem(t)
  await system.refusing('57014', `NEW.id = 'evt_19'`)
  system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' })
  await system.enqueue(deliveries(20))
  await eventually(async () => (await system.count('dead_letters')) === 1, { deadlineMs: 30_000 })
  t.equal(await system.count('events'), 19)
})

t.test('statements that are really cancelled use up no attempt', options, async (t) => {
  const system = await aSystem(t)
  await system.sql(`CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$`) // prettier-ignore
  await system.sql('CREATE TRIGGER hang BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION hang()')
  system.startWorker({ MAX_ATTEMPTS: '2', LOG_LEVEL: 'info' })
  await system.enqueue(deliveries(20))
  let cancelled = 0
  await eventually(
    async () => {
      const found = await system.sql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE wait_event = 'PgSleep' AND datname = current_database()`)
      cancelled += found.length
      return cancelled >= 10
    },
    { deadlineMs: 40_000 },
  )
  await system.sql('DROP TRIGGER hang ON events')
  await system.sql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE wait_event = 'PgSleep' AND datname = current_database()`)
  await system.isEmpty(40_000)
  t.equal(await system.count('dead_letters'), 0)
  t.equal(await system.count('events'), 20)
})
