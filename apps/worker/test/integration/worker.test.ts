import { Deadline } from '@persona-ingest/core'
import { randomBytes } from 'node:crypto'
import type { Delivery } from '@persona-ingest/queue'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery, deliveries, POISON } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql } = await throwAwayDatabase(t)
const servers = { redisUrl: redis.url, databaseUrl: url }
t.beforeEach(() => sql('TRUNCATE events, inquiries, verifications, resources, objects, claims, event_objects, redactions, dead_letters')) // prettier-ignore

/** Lets PostgreSQL refuse one event with an error that says nothing. */
async function refuse(t: Test, eventId: string): Promise<() => Promise<unknown>> {
  await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = '${eventId}' THEN RAISE EXCEPTION 'refused %', NEW.payload; END IF; RETURN NEW; END $$`)
  await sql('CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()')
  const allow = () => sql('DROP FUNCTION IF EXISTS refuse() CASCADE')
  t.teardown(allow)
  return allow
}

t.test('an idle worker stores an event at once, alone, and says so in one line', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  const { logged } = startWorker()
  await enqueue([aDelivery()])
  await isEmpty()
  t.strictSame(await sql('SELECT id, outcome FROM events'), [{ id: 'evt_1', outcome: 'applied' }])
  const { time: _, ...line } = logged('event stored')[0] ?? { msg: '', time: '' }
  t.strictSame(line, {
    level: 'info', app: 'worker', requestId: 'req-evt_1', eventId: 'evt_1', environment: 'production',
    outcome: 'applied', batchSize: 1, msg: 'event stored',
  }) // prettier-ignore
})

t.test('a worker makes ticks of what it stored, and its metrics tell how far each consumer is', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  await sql('INSERT INTO change_consumers (name, tick) SELECT $1, latest_change_tick()', ['crm'])
  const { registry } = startWorker()
  await enqueue([aDelivery({ id: 'evt_ticked' })])
  await isEmpty()
  const ticks = async () => await registry.getSingleMetric('persona_worker_change_ticks_total')?.get()
  await eventually(async () => ((await ticks())?.values[0]?.value ?? 0) > 0)
  // On a busy machine a scrape may not wait for the answer of the database.
  const isKnown = /^persona_worker_change_newest_tick_age_seconds \d/m
  const text = await eventually(async () => {
    const scraped = await registry.metrics()
    return isKnown.test(scraped) && scraped
  })
  t.match(text, /^persona_worker_change_newest_tick_age_seconds [\d.]+$/m)
  t.match(text, /^persona_worker_changes_oldest_waiting_seconds 0$/m)
  t.match(text, /^persona_worker_change_consumer_lag_changes\{consumer="crm"\} [1-9]/m)
  t.match(text, /^persona_worker_change_consumer_expired\{consumer="crm"\} 0$/m)
  await sql('DELETE FROM change_consumers')
})

t.test('a loaded worker lets events share a transaction', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  await enqueue(deliveries(500))
  const { logged } = startWorker()
  await isEmpty()
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 500 }])
  const sizes = logged('event stored').map(({ batchSize }) => Number(batchSize))
  t.equal(sizes.length, 500)
  t.ok(Math.max(...sizes) > 20, `the largest batch had ${Math.max(...sizes)}`)
  t.ok(Math.max(...sizes) <= 200)
})

t.test('several workers on one queue store each event once', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  const workers = [startWorker(), startWorker()]
  await enqueue(deliveries(300))
  await isEmpty()
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 300 }])
  t.equal(workers.flatMap(({ logged }) => logged('event stored')).length, 300)
})

t.test('a poison event among 200 goes to the dead letters at once; its neighbours are stored', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  const poison = aDelivery({ id: 'evt_poison', raw: POISON, attributes: { note: 'MARK' } })
  const all = deliveries(200)
  await enqueue([...all.slice(0, 77), poison, ...all.slice(77)])
  const { lines, logged } = startWorker()
  await isEmpty()
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 200 }])
  const deadLetters = await sql('SELECT event_id, reason, error, body, attempts, state FROM dead_letters')
  t.strictSame(deadLetters, [
    {
      event_id: 'evt_poison', reason: 'VALUE_REFUSED', attempts: 1, state: 'open', body: poison.body,
      error: 'number out of the range that PostgreSQL can hold (SQLSTATE 22003)',
    },
  ]) // prettier-ignore
  t.equal(logged('event failed, retrying').length, 0)
  t.match(logged('delivery kept as a dead letter'), [{ level: 'warn', eventId: 'evt_poison', reason: 'VALUE_REFUSED' }])
  t.notMatch(lines.join(), 'MARK')
})

t.test('an event nested too deeply is a dead letter, also where an older ingress accepted it', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  await enqueue([990, 1000, 7000, 200_000].map((depth) => aDelivery({ id: `evt_${depth}`, raw: nested(depth) })))
  startWorker()
  await isEmpty()
  t.strictSame(await sql('SELECT id FROM events'), [{ id: 'evt_990' }])
  const deadLetters = await sql('SELECT event_id, reason, attempts FROM dead_letters ORDER BY 1')
  const ids = ['evt_1000', 'evt_200000', 'evt_7000']
  t.strictSame(
    deadLetters,
    ids.map((id) => ({ event_id: id, reason: 'NESTING_TOO_DEEP', attempts: 1 })),
  )
})

t.test('an unclear failure uses attempts, then the event is a dead letter; neighbours are unharmed', async (t) => {
  const allow = await refuse(t, 'evt_odd')
  const { enqueue, startWorker, isEmpty, producer } = aQueue(t, servers)
  const { logged, lines } = startWorker({ MAX_ATTEMPTS: '2' })
  const odd = aDelivery({ id: 'evt_odd', attributes: { note: 'MARK' } })
  await enqueue([odd, ...deliveries(20)])
  await isEmpty()
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 20 }])
  t.strictSame(await sql('SELECT event_id, reason, error, attempts, state, body FROM dead_letters'), [
    {
      event_id: 'evt_odd', reason: 'ATTEMPTS_EXHAUSTED', error: 'the database refuses (SQLSTATE P0001)', attempts: 2,
      state: 'open', body: odd.body,
    },
  ]) // prettier-ignore
  t.match(logged('event failed, retrying'), [{ level: 'warn', eventId: 'evt_odd', attempts: 1 }])
  t.equal(logged('event failed, retrying').length, 1)
  t.notMatch(lines.join(), 'MARK')

  await sql(`UPDATE dead_letters SET state = 'discarded', resolved_at = now()`)
  await producer.enqueue(odd, new Deadline(5000))
  await isEmpty()
  t.strictSame(await sql('SELECT state, resolved_at FROM dead_letters'), [{ state: 'open', resolved_at: null }], 'tried again') // prettier-ignore
  await allow()
  await producer.enqueue(odd, new Deadline(5000))
  await isEmpty()
  t.strictSame(await sql('SELECT state, resolved_at IS NOT NULL AS resolved FROM dead_letters'), [{ state: 'replayed', resolved: true }]) // prettier-ignore
  t.strictSame(await sql(`SELECT outcome FROM events WHERE id = 'evt_odd'`), [{ outcome: 'applied' }])
})

t.test('quarantined bodies are kept byte for byte', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  const bodies = [Buffer.alloc(0), Buffer.from([0xff, 0xfe, 0x00]), randomBytes(300_000), Buffer.from('{"data":{}}')]
  const quarantined = bodies.map((body, index): Delivery => ({
    kind: 'quarantined', reason: 'INVALID_JSON', eventId: index === 3 ? 'evt_q' : null, environment: 'sandbox',
    receivedAtMs: Date.UTC(2026, 1, 3), body, requestId: `req-${index}`,
  })) // prettier-ignore
  await enqueue(quarantined)
  const { logged } = startWorker()
  await isEmpty()
  const deadLetters = await sql('SELECT * FROM dead_letters ORDER BY length(body), id')
  const expected = [bodies[0], bodies[1], bodies[3], bodies[2]]
  t.strictSame(deadLetters.map((deadLetter) => deadLetter['body']), expected) // prettier-ignore
  for (const deadLetter of deadLetters)
    t.match(deadLetter, {
      reason: 'INVALID_JSON', environment: 'sandbox', attempts: 0, state: 'open', received_at: new Date('2026-02-03'),
    }) // prettier-ignore
  t.strictSame(deadLetters.map((deadLetter) => deadLetter['event_id']), [null, null, 'evt_q', null]) // prettier-ignore
  t.equal(logged('delivery kept as a dead letter').length, 4)
})

t.test('a queued event that no program can use is a dead letter with its reason', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  const body = Buffer.from('{"data": {"id": "evt_1"')
  await enqueue([{ ...aDelivery(), body }])
  startWorker()
  await isEmpty()
  t.match(await sql('SELECT * FROM dead_letters'), [{ event_id: 'evt_1', reason: 'INVALID_JSON', attempts: 1, body }])
})

t.test('duplicates, and deliveries with another body, change nothing', async (t) => {
  const { enqueue, startWorker, isEmpty, producer } = aQueue(t, servers)
  const { logged } = startWorker()
  await enqueue([aDelivery({ attributes: { note: 'first' } })])
  await isEmpty()
  await producer.enqueue(
    aDelivery({ attributes: { note: 'second' }, createdAt: '2026-02-04T00:00:00Z' }),
    new Deadline(5000),
  )
  await isEmpty()
  t.strictSame(await sql('SELECT attributes FROM inquiries'), [{ attributes: { note: 'first' } }])
  t.strictSame(logged('event stored').map(({ outcome }) => outcome), ['applied', 'duplicate']) // prettier-ignore
})

t.test('a redaction in the queue reduces what is stored and what comes after it', async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  startWorker()
  const person = { 'name-first': 'MARK' }
  await enqueue([aDelivery({ id: 'evt_1', attributes: person })])
  await isEmpty()
  await enqueue([aDelivery({ id: 'evt_9', name: 'inquiry.redacted', createdAt: '2026-02-04T00:00:00Z' })])
  await isEmpty()
  await enqueue([
    aDelivery({ id: 'evt_2', attributes: person }),
    aDelivery({ id: 'evt_3', raw: POISON, attributes: person }),
  ])
  await isEmpty()
  const texts = await sql('SELECT payload::text AS text FROM events')
  t.equal(texts.length, 4, 'what made one of them poison went as well')
  t.notMatch(JSON.stringify(texts), 'MARK')
})

t.test("many redactions at once, over several workers, use nobody's attempts", async (t) => {
  const { enqueue, startWorker, isEmpty } = aQueue(t, servers)
  const events = Array.from({ length: 600 }, (_, index) => ({
    id: `evt_${index}`,
    inquiryId: `inq_${index % 300}`,
    name: index % 2 === 0 ? 'inquiry.created' : 'inquiry.redacted',
    createdAt: new Date(Date.UTC(2026, 1, 3) + index).toISOString(),
    attributes: { note: 'MARK' },
  }))
  await enqueue(events.map(aDelivery))
  const workers = [1, 2, 3, 4].map(() => startWorker({ WORKER_CONCURRENCY: '30' }))
  await isEmpty(60_000)
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 600 }])
  t.strictSame(workers.flatMap(({ logged }) => logged('event failed, retrying')), []) // prettier-ignore
  t.strictSame(workers.flatMap(({ logged }) => logged('database takes no writes, holding deliveries until it does')), []) // prettier-ignore
})

t.test('a worker that has nothing to do shuts down quickly; what comes later waits for the next one', async (t) => {
  const { enqueue, startWorker, isEmpty, producer } = aQueue(t, servers)
  const first = startWorker()
  await enqueue(deliveries(10))
  await isEmpty()
  const startedAt = performance.now()
  await first.worker.close()
  t.ok(performance.now() - startedAt < 3000)
  t.strictSame(await first.worker.readiness.missing(), ['draining'])
  await enqueue([aDelivery({ id: 'evt_late' })])
  t.equal((await producer.counts()).waiting, 1)
  startWorker()
  await isEmpty()
  t.equal((await sql(`SELECT id FROM events WHERE id = 'evt_late'`)).length, 1)
})

t.test('a graceful shutdown under load finishes what is in flight and loses nothing', async (t) => {
  const { enqueue, startWorker, isEmpty, producer } = aQueue(t, servers)
  await enqueue(deliveries(400))
  const first = startWorker({ WORKER_CONCURRENCY: '50' })
  await eventually(() => first.logged('event stored').length > 0)
  await first.worker.close()
  const stored = await sql('SELECT count(*)::int FROM events')
  t.equal(stored[0]?.['count'], first.logged('event stored').length)
  const { active, waiting } = await producer.counts()
  t.equal(active, 0, 'nothing is left in flight')
  t.equal(Number(stored[0]?.['count']) + waiting, 400)
  startWorker()
  await isEmpty()
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 400 }])
})
