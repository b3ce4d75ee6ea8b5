import { everyKey, eventually, marksIn, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, POISON } from '../fixtures/an-event.ts'

// Most of the time is spent in the pauses between attempts.
t.jobs = 3

const MARK = 'Marked-Person'
const person = { attributes: { 'name-first': MARK, status: 'approved' } }
const redaction = aDelivery({ id: 'evt_redaction', createdAt: '2026-02-03T11:00:00.000Z', name: 'inquiry.redacted' })

/** A Redis and a database of a test's own, since the tests search all that is held. */
async function servers(t: Test) {
  const redis = await throwAwayRedis(t)
  const { url, sql } = await throwAwayDatabase(t)
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const isHeld = async () => marksIn(await everyKey(redis), [MARK]).length > 0
  const isStored = (eventId: string) =>
    eventually(async () => (await sql('SELECT 1 FROM events WHERE id = $1', [eventId])).length === 1, {
      deadlineMs: 20_000,
    })
  const refuse = async (eventId: string) => {
    await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.id = '${eventId}' THEN RAISE EXCEPTION 'refused %', NEW.payload; END IF; RETURN NEW; END $$`)
    await sql('CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()')
  }
  const key = (name: string) => `${queue.prefix}:persona-events:${name}`
  return { redis, sql, ...queue, key, isHeld, isStored, refuse, allow: () => sql('DROP FUNCTION refuse() CASCADE') }
}

async function storedReduced(t: Test, sql: Awaited<ReturnType<typeof servers>>['sql'], eventId: string): Promise<void> {
  const [event] = await sql('SELECT payload::text AS payload, status FROM events WHERE id = $1', [eventId])
  t.equal(event?.['status'], 'approved')
  t.notMatch(event?.['payload'], MARK)
}

t.test(
  'a job that rests when its inquiry is redacted keeps nothing past its next try',
  { buffered: true },
  async (t) => {
    const { enqueue, startWorker, producer, sql, redis, key, isHeld, isStored, refuse, allow } = await servers(t)
    await refuse('evt_old')
    startWorker()
    await enqueue([aDelivery({ id: 'evt_old', ...person })])
    const attempts = async () => Number(await redis.command('HGET', key('e-evt_old'), 'atm'))
    await eventually(async () => (await attempts()) === 1 && (await producer.counts()).delayed === 1)
    t.ok(await isHeld())
    await enqueue([redaction])
    await isStored('evt_redaction')
    const before = await attempts()
    await eventually(async () => (await attempts()) > before && (await producer.counts()).delayed === 1, {
      deadlineMs: 20_000,
    })
    t.notOk(await isHeld())
    await allow()
    await isStored('evt_old')
    await storedReduced(t, sql, 'evt_old')
  },
)

t.test(
  'a job that a graceful shutdown requeues after its inquiry was redacted goes back reduced',
  { buffered: true },
  async (t) => {
    const { enqueue, startWorker, producer, sql, isHeld, isStored } = await servers(t)
    const { worker, logged } = startWorker()
    await enqueue([redaction])
    await isStored('evt_redaction')
    // Reads pass, writes do not: an outage in which the worker can still learn what was redacted.
    await sql('ALTER SYSTEM SET default_transaction_read_only = on')
    await sql('SELECT pg_reload_conf()')
    await enqueue([aDelivery({ id: 'evt_old', ...person }), aDelivery({ id: 'evt_other', inquiryId: 'inq_2' })])
    await eventually(() => logged('database takes no writes, holding deliveries until it does').length === 1)
    await eventually(async () => (await producer.counts()).active === 2)
    t.ok(await isHeld())
    await worker.close()
    t.match(await producer.counts(), { active: 0, failed: 0 })
    t.notOk(await isHeld())
    await sql('ALTER SYSTEM RESET default_transaction_read_only')
    await sql('SELECT pg_reload_conf()')
    startWorker()
    await isStored('evt_old')
    await isStored('evt_other')
    await storedReduced(t, sql, 'evt_old')
  },
)

t.test('so does a job of the failed set that can not be stored yet', { buffered: true }, async (t) => {
  const { enqueue, startWorker, redis, key, isHeld, isStored, refuse, allow } = await servers(t)
  await enqueue([aDelivery({ id: 'evt_old', ...person })])
  await redis.command('LREM', key('wait'), 0, 'e-evt_old')
  await refuse('evt_old')
  startWorker()
  await enqueue([redaction])
  await isStored('evt_redaction')
  t.ok(await isHeld())
  await redis.command('ZADD', key('failed'), Date.now(), 'e-evt_old')
  await eventually(async () => !(await isHeld()), { deadlineMs: 20_000 })
  await allow()
  await isStored('evt_old')
})

t.test('a poison event of a redacted inquiry is a dead letter without the data', { buffered: true }, async (t) => {
  const { enqueue, startWorker, sql, isEmpty, isStored, isHeld } = await servers(t)
  startWorker()
  await enqueue([redaction])
  await isStored('evt_redaction')
  await enqueue([aDelivery({ id: 'evt_poison', raw: POISON, ...person })])
  await isEmpty()
  // What PostgreSQL refuses in it went with the rest.
  await storedReduced(t, sql, 'evt_poison')
  t.notOk(await isHeld())
})
