import { readEvent } from '@persona-ingest/persona'
import { eventually, throwAwayDatabase, throwAwayRedis, valuesOf } from '@persona-ingest/testkit'
import t from 'tap'
import { MemoryBudget, heapBytesOf } from '../../src/commit.ts'
import { processDelivery } from '../../src/process-delivery.ts'
import { aProcessContext } from '../fixtures/a-process-context.ts'
import { aCountingStore } from '../fixtures/a-store.ts'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, eventBody } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const servers = { redisUrl: redis.url, databaseUrl: url }
t.beforeEach(() => sql('TRUNCATE events, inquiries, verifications, resources, objects, claims, event_objects, redactions, dead_letters')) // prettier-ignore

t.test('a worker replays an event of the log, although a redelivery of it changes nothing', async (t) => {
  const { enqueue, producer, startWorker, isEmpty } = aQueue(t, servers)
  const { logged, registry } = startWorker()
  await enqueue([aDelivery()])
  await isEmpty()
  const before = await sql('SELECT * FROM inquiries')
  t.equal(before.length, 1)
  await sql('TRUNCATE inquiries')
  await enqueue([aDelivery()])
  await isEmpty()
  t.strictSame(await sql('SELECT * FROM inquiries'), [], 'a duplicate')
  await producer.enqueueReplays(['evt_1', 'evt_unknown'])
  await isEmpty()
  t.strictSame(valuesOf(await sql('SELECT * FROM inquiries')), valuesOf(before))
  await producer.enqueueReplays(['evt_1'])
  await isEmpty()
  t.strictSame(
    logged('event replayed').map(({ eventId, outcome }) => `${String(eventId)} ${String(outcome)}`).toSorted(),
    ["evt_1 applied", "evt_1 unchanged", "evt_unknown missing"],
  ) // prettier-ignore
  t.match(await registry.metrics(), 'persona_worker_replays_total{outcome="applied"} 1')
})

t.test('an outage uses up no attempt of a replay', async (t) => {
  const { enqueue, producer, startWorker, isEmpty } = aQueue(t, servers)
  const { logged } = startWorker({ MAX_ATTEMPTS: '1' })
  await enqueue([aDelivery()])
  await isEmpty()
  await sql('TRUNCATE inquiries')
  await sql('ALTER TABLE objects RENAME TO away')
  await producer.enqueueReplays(['evt_1'])
  await eventually(() => logged('database takes no writes, holding deliveries until it does').length > 0)
  await sql('ALTER TABLE away RENAME TO objects')
  await isEmpty()
  t.equal(logged('event replayed').length, 1)
  t.equal((await sql('SELECT id FROM inquiries')).length, 1)
})

t.test('the replay of an event that was changed by hand is given up; it is no outage', async (t) => {
  const { enqueue, producer, startWorker, isEmpty } = aQueue(t, servers)
  const { logged } = startWorker({ MAX_ATTEMPTS: '2' })
  await enqueue([aDelivery()])
  await isEmpty()
  await sql(`UPDATE events SET payload = '{}'`)
  await producer.enqueueReplays(['evt_1'])
  await isEmpty()
  const [line] = logged('replay failed, given up; the event is in the log')
  t.match(line, { eventId: 'evt_1', description: 'what the log holds of it is no event any more' })
})

t.test('a replay that fails alone is given up after its attempts; the event stays in the log', async (t) => {
  const { enqueue, producer, startWorker, isEmpty } = aQueue(t, servers)
  const { logged } = startWorker({ MAX_ATTEMPTS: '2' })
  await enqueue([aDelivery()])
  await isEmpty()
  await sql('TRUNCATE inquiries')
  await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused %', NEW.attributes; END $$`)
  await sql('CREATE TRIGGER refuse BEFORE INSERT ON inquiries FOR EACH ROW EXECUTE FUNCTION refuse()')
  t.teardown(() => sql('DROP FUNCTION IF EXISTS refuse() CASCADE'))
  await producer.enqueueReplays(['evt_1'])
  await isEmpty()
  t.equal(logged('replay failed, retrying').length, 1)
  t.equal(logged('replay failed, given up; the event is in the log').length, 1)
  t.strictSame(await sql('SELECT id FROM events'), [{ id: 'evt_1' }])
})

t.test('a replay takes as much of the memory budget as a delivery of its event', async (t) => {
  const { store } = aCountingStore(t, url)
  const included = Array.from({ length: 12_000 }, (_, at) => ({
    type: 'report/x',
    id: `rep_${at}`,
    attributes: { n: 1 },
  }))
  const bodies = { evt_small: eventBody({ id: 'evt_small' }), evt_wide: eventBody({ id: 'evt_wide', included }) }
  for (const body of Object.values(bodies))
    await store.storeEvents([readEvent({ body, environment: 'production', receivedAtMs: Date.now() })])
  const takes: number[] = []
  class NotedBudget extends MemoryBudget {
    override async take(bytes: number) {
      takes.push(bytes)
      return super.take(bytes)
    }
  }
  const memory = new NotedBudget(64_000_000)
  const context = aProcessContext(store, { memory, maxAttempts: 1 })
  for (const [eventId, body] of Object.entries(bodies)) {
    const replay = { kind: 'replay', eventId, attemptsMade: 0, stalledCount: 0 } as const
    t.strictSame(await processDelivery(context, replay), { action: 'ack' })
    const taken = takes.pop() ?? 0
    const expected = heapBytesOf(body)
    // The log prints JSON with a space after each comma and colon.
    t.ok(taken >= expected && taken < 1.3 * expected, `${eventId}: ${taken} of ${expected}`)
    t.equal(memory.taken(), 0, 'it is released')
  }
})
