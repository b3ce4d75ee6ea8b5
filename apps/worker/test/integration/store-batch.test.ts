import { readEvent, type PersonaEvent } from '@persona-ingest/persona'
import { eventually, throwAwayDatabase } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { Outage } from '../../src/outage.ts'
import { storeBatch, type StoreVerdict } from '../../src/store-batch.ts'

import { aCountingStore } from '../fixtures/a-store.ts'
import { eventBody, POISON, type EventParts } from '../fixtures/an-event.ts'

const { url, sql } = await throwAwayDatabase(t)
t.beforeEach(() => sql('TRUNCATE events, inquiries, objects, dead_letters'))

const read = (parts: EventParts): PersonaEvent =>
  readEvent({ body: eventBody(parts), environment: 'production', receivedAtMs: Date.now() })
const batch = (count: number, odd: Readonly<Record<number, EventParts>> = {}, prefix = 'evt') =>
  Array.from({ length: count }, (_, index) =>
    read({ id: `${prefix}_${index}`, inquiryId: `inq_${prefix}_${index}`, ...odd[index] }),
  )

async function measured(work: () => Promise<unknown>): Promise<number> {
  const beganAtMs = performance.now()
  await work()
  return Math.round(performance.now() - beganAtMs)
}

type BatchVerdicts = ReadonlyMap<string, StoreVerdict>

function aBatchStore(t: Test) {
  const counting = aCountingStore(t, url)
  const shutdown = new AbortController()
  const changes: boolean[] = []
  const outage = new Outage({ shutdown: shutdown.signal, onChange: (isOut) => void changes.push(isOut) })
  const context = { store: counting.store, outage, cause: 'event' as const }
  const store = async (events: readonly PersonaEvent[]): Promise<BatchVerdicts> => {
    const verdicts = new Map<string, StoreVerdict>()
    await storeBatch(context, events, (id, verdict) => {
      if (verdicts.has(id)) t.fail(`${id} is told twice`)
      verdicts.set(id, verdict)
    })
    return verdicts
  }
  return { ...counting, shutdown, changes, outage, store }
}

/** Lets PostgreSQL refuse one event with a SQLSTATE of our choice. */
async function refuse(t: Test, eventIds: readonly string[], sqlState: string): Promise<void> {
  await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id IN (${eventIds.map((id) => `'${id}'`).join(', ')}) THEN
      RAISE EXCEPTION 'refused %', NEW.payload USING ERRCODE = '${sqlState}';
    END IF; RETURN NEW; END $$`)
  await sql('CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()')
  t.teardown(() => sql('DROP FUNCTION IF EXISTS refuse() CASCADE'))
}

t.test('a batch is one write', async (t) => {
  const { store, writes, probes } = aBatchStore(t)
  const verdicts = await store(batch(200))
  t.strictSame(writes, [200])
  t.equal(probes.count, 0)
  t.equal(verdicts.size, 200)
  for (const verdict of verdicts.values())
    t.strictSame(verdict, { verdict: 'stored', outcome: 'applied', batchSize: 200 })
})

for (const at of [0, 137, 199]) {
  t.test(`one poison event at place ${at} among 200: the others are stored, in O(log n) writes`, async (t) => {
    const { store, writes } = aBatchStore(t)
    const tookMs = await measured(() => store(batch(200, {}, 'clean')))
    writes.length = 0
    let verdicts: BatchVerdicts = new Map()
    const poisonedMs = await measured(async () => (verdicts = await store(batch(200, { [at]: { raw: POISON } }))))
    t.comment(`200 events: ${tookMs} ms; with the poison among them: ${poisonedMs} ms, ${writes.length} writes`)
    const failure = { kind: 'event', sqlState: '22003', description: 'number out of the range that PostgreSQL can hold (SQLSTATE 22003)' } // prettier-ignore
    t.strictSame(verdicts.get(`evt_${at}`), { verdict: 'refused', failure })
    t.equal([...verdicts.values()].filter(({ verdict }) => verdict === 'stored').length, 199)
    t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 200 + 199 }])
    t.ok(writes.length <= 1 + 2 * Math.ceil(Math.log2(200)), `${writes.length} writes: ${writes.join(' ')}`)
  })
}

t.test('several poison events, side by side and apart', async (t) => {
  const { store, writes } = aBatchStore(t)
  const places = [3, 4, 60, 127]
  const verdicts = await store(batch(128, Object.fromEntries(places.map((at) => [at, { raw: POISON }]))))
  const refused = [...verdicts].filter(([, { verdict }]) => verdict === 'refused').map(([id]) => id)
  t.strictSame(refused, places.map((at) => `evt_${at}`)) // prettier-ignore
  t.strictSame(await sql('SELECT count(*)::int FROM events'), [{ count: 124 }])
  t.ok(writes.length <= 1 + places.length * 2 * 7, `${writes.length} writes`)
})

t.test("an unclear failure that one event meets alone is that event's", async (t) => {
  await refuse(t, ['evt_70'], 'P0001')
  const { store, writes, changes } = aBatchStore(t)
  const verdicts = await store(batch(128))
  t.match(verdicts.get('evt_70'), { verdict: 'failed', failure: { kind: 'unclear', sqlState: 'P0001' } })
  t.equal([...verdicts.values()].filter(({ verdict }) => verdict === 'stored').length, 127)
  t.ok(writes.length <= 16, `${writes.length} writes`)
  t.strictSame(changes, [], 'which is no outage')
})

t.test(
  'a failure that every write meets is an outage: the batch waits, whole, and goes through in the end',
  async (t) => {
    await sql('ALTER TABLE ingest_state ADD CONSTRAINT refuse CHECK (canary_at IS NULL) NOT VALID')
    await refuse(t, ['evt_1'], 'P0001')
    const { store, writes, changes, outage } = aBatchStore(t)
    const storing = store(batch(16))
    await eventually(() => writes.length >= 3)
    t.ok(outage.isOut)
    t.ok(writes.every((size) => size === 16), 'no attempt to blame one of them') // prettier-ignore
    await sql('DROP FUNCTION refuse() CASCADE')
    await sql('ALTER TABLE ingest_state DROP CONSTRAINT refuse')
    const verdicts = await storing
    t.ok([...verdicts.values()].every(({ verdict }) => verdict === 'stored'))
    t.strictSame(changes, [true, false])
  },
)

t.test('a batch that waits is requeued at a graceful shutdown', async (t) => {
  await sql('ALTER TABLE events RENAME TO events_away')
  t.teardown(() => sql('ALTER TABLE events_away RENAME TO events'))
  const { store, shutdown, outage } = aBatchStore(t)
  const storing = store(batch(3))
  await eventually(() => outage.isOut)
  shutdown.abort()
  t.strictSame(
    [...(await storing).values()],
    Array.from({ length: 3 }, () => ({ verdict: 'requeued' })),
  )
  t.match([...(await store(batch(3))).values()], [{ verdict: 'requeued' }], 'and so is what comes later')
})

t.test('conflicts between transactions are tried again, whole', async (t) => {
  await sql('CREATE SEQUENCE conflicts')
  await sql(`CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('conflicts') <= 2 THEN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END IF; RETURN NULL; END $$`)
  await sql('CREATE TRIGGER conflict BEFORE INSERT ON events EXECUTE FUNCTION conflict()')
  t.teardown(() => sql('DROP FUNCTION conflict() CASCADE; DROP SEQUENCE conflicts'))
  const { store, writes, probes, changes } = aBatchStore(t)
  const verdicts = await store(batch(8))
  t.strictSame(writes, [8, 8, 8])
  t.equal(probes.count, 0)
  t.strictSame(changes, [])
  t.ok([...verdicts.values()].every(({ verdict }) => verdict === 'stored'))
})

t.test("an outage that ends between a failure and the question whose it is, is no event's fault", async (t) => {
  await sql('CREATE SEQUENCE failures')
  await sql(`CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('failures') = 1 THEN RAISE EXCEPTION 'x' USING ERRCODE = '25006'; END IF; RETURN NEW; END $$`)
  await sql('CREATE TRIGGER fail_once BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION fail_once()')
  t.teardown(() => sql('DROP FUNCTION fail_once() CASCADE; DROP SEQUENCE failures'))
  const { store } = aBatchStore(t)
  t.match((await store(batch(1))).get('evt_0'), { verdict: 'deferred', failure: { sqlState: '25006' } })
  t.match((await store(batch(1))).get('evt_0'), { verdict: 'stored' })
})

t.test('a full disk is an outage, though our own write passes: two events tell', async (t) => {
  const all = batch(8)
  await refuse(t, all.map((event) => event.id), '53100') // prettier-ignore
  const { store, writes, changes, outage } = aBatchStore(t)
  const storing = store(all)
  await eventually(() => outage.isOut && writes.filter((size) => size === 6).length >= 1)
  t.ok(writes.every((size) => size > 1) || writes.filter((size) => size === 1).length < 8, 'not each by itself') // prettier-ignore
  await sql('ALTER TABLE events DISABLE TRIGGER refuse')
  const verdicts = [...(await storing).values()].map(({ verdict }) => verdict)
  t.ok(
    verdicts.every((verdict) => verdict === 'stored' || verdict === 'deferred'),
    verdicts.join(' '),
  )
  t.ok(verdicts.includes('stored'))
  t.strictSame(changes, [true, false])
})

for (const sqlState of ['53200', '57014', '53300', '57P03']) {
  t.test(
    `${sqlState} that one event meets is its own once others were stored between two of its failures`,
    async (t) => {
      await refuse(t, ['evt_3'], sqlState)
      const { store, changes } = aBatchStore(t)
      const verdicts = await store(batch(8))
      t.match(verdicts.get('evt_3'), { verdict: 'deferred', failure: { sqlState } })
      t.equal([...verdicts.values()].filter(({ verdict }) => verdict === 'stored').length, 7)
      await store(batch(2, {}, 'later'))
      t.match((await store([read({ id: 'evt_3' })])).get('evt_3'), { verdict: 'failed', failure: { sqlState } })
      t.strictSame(changes, [])
    },
  )
}

t.test(
  'a shortage that an event meets alone while nothing else comes uses up nothing, and holds up no lane',
  async (t) => {
    await refuse(t, ['evt_3'], '53200')
    const { store, changes } = aBatchStore(t)
    const delays: number[] = []
    for (let tries = 0; tries < 6; tries += 1) {
      const verdict = (await store([read({ id: 'evt_3' })])).get('evt_3')
      t.match(verdict, { verdict: 'deferred' })
      if (verdict?.verdict === 'deferred') delays.push(verdict.delayMs)
    }
    t.ok(delays.every((delay) => delay >= 750 && delay <= 10_000) && (delays[5] ?? 0) > 7000, delays.join(' '))
    t.strictSame(changes, [])
  },
)

t.test('duplicates that pass are no proof that events pass', async (t) => {
  const { store } = aBatchStore(t)
  await store(batch(2, {}, 'known'))
  await refuse(t, ['evt_3'], '57014')
  for (let tries = 0; tries < 3; tries += 1) {
    t.match((await store([read({ id: 'evt_3' })])).get('evt_3'), { verdict: 'deferred' })
    t.match([...(await store(batch(2, {}, 'known'))).values()], [{ outcome: 'duplicate' }, { outcome: 'duplicate' }])
  }
})
