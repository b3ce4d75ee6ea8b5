import { eventually } from '@persona-ingest/testkit'
import t from 'tap'
import {
  countOldChanges,
  dropOldChanges,
  findStartTick,
  makeChangeTick,
  readChanges,
  readFeedStatus,
  readTickRange,
  tailChanges,
  type ChangeRow,
} from '../../src/index.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anObject } from '../fixtures/an-event.ts'

const { opened, sql, store } = await aDatabase(t)

/** Stores new inquiries, one change each. */
const storeInquiries = async (...names: readonly string[]) =>
  store(...names.map((name) => ({ id: `evt_${name}`, data: anObject('inquiry', `inq_${name}`) })))
const tick = async () => eventually(async () => (await makeChangeTick(opened)) === 'ticked')
const consumer = async (name: string, at: bigint) =>
  sql('INSERT INTO change_consumers (name, tick) VALUES ($1, $2)', [name, String(at)])
const failOnOutage = (description: string) => void t.fail(description)
const ids = (changes: readonly ChangeRow[]) => changes.map((change) => change.object_id)

t.beforeEach(async () => {
  // Triggers announce each row that goes.
  await sql('TRUNCATE inquiries, resources, verifications')
  await sql('TRUNCATE changes, change_ticks, change_consumers, removed_objects, events, objects, claims, event_objects')
  await sql(`UPDATE change_feed SET oldest_tick = 0`)
})

t.test('before the first tick every change waits, and nobody is behind', async (t) => {
  const empty = { newestTick: null, oldestTick: 0n, waiting: 0, oldestWaitingMs: null, consumers: [] }
  t.strictSame(await readFeedStatus(opened), empty)
  await storeInquiries('a', 'b')
  await consumer('early', 0n)
  t.match(await readFeedStatus(opened), {
    newestTick: null,
    waiting: 2,
    oldestWaitingMs: Number,
    consumers: [{ name: 'early', isExpired: false, lagMs: 0 }],
  })
})

t.test('a change waits until a tick shows it, also one whose transaction is older than the tick', async (t) => {
  await storeInquiries('a')
  await opened.sql.transaction(async (executor) => {
    await executor.query(`UPDATE inquiries SET status = 'by hand'`, [])
    // A transaction that is newer and ends first: the snapshot of the tick then lists the open one.
    await storeInquiries('b')
    await tick()
    t.match(await readFeedStatus(opened), { newestTick: { ageMs: Number }, waiting: 0, oldestWaitingMs: null })
  })
  const { waiting, oldestWaitingMs } = await readFeedStatus(opened)
  t.equal(waiting, 1)
  t.ok(oldestWaitingMs !== null && oldestWaitingMs < 60_000)
  await tick()
  t.match(await readFeedStatus(opened), { waiting: 0 })
})

t.test('the lag of a consumer is counted in changes and from the first tick that it has not read', async (t) => {
  await storeInquiries('a')
  await tick()
  const { latest: first } = await readTickRange(opened)
  await storeInquiries('b', 'c')
  await tick()
  await storeInquiries('d')
  await tick()
  const { latest } = await readTickRange(opened)
  await sql(`UPDATE change_ticks SET at = at - interval '1 day' WHERE tick = $1`, [String(first)])
  await sql(`UPDATE change_ticks SET at = at - interval '1 hour' WHERE tick = $1`, [String(first + 1n)])
  for (const [name, at] of Object.entries({ now: latest, behind: first, start: 0n, ahead: latest + 1n }))
    await consumer(name, at)
  const { consumers } = await readFeedStatus(opened)
  t.strictSame(
    consumers.map(({ name, lagChanges, isLagExact, isExpired }) => [name, lagChanges, isLagExact, isExpired]),
    [
      ['ahead', null, false, true],
      ['start', 4, true, false],
      ['behind', 3, true, false],
      ['now', 0, true, false],
    ],
  )
  const hours = consumers.map(({ lagMs }) => (lagMs === null ? null : Math.floor(lagMs / 3_600_000)))
  t.strictSame(hours, [null, 24, 1, 0])
  t.equal((await readFeedStatus(opened, { maxConsumers: 2 })).consumers.length, 2)
})

t.test('notifications that wait and those that failed are counted by consumer', async (t) => {
  await consumer('notifier', 0n)
  await consumer('reader', 0n)
  await sql(`INSERT INTO notifications (consumer, object_id, version, family, cause, changed_at, state)
    SELECT 'notifier', 'inq_' || i, 1, 'inquiry', 'event', now(), CASE WHEN i = 1 THEN 'failed' ELSE 'pending' END
    FROM generate_series(1, 3) i`)
  t.match((await readFeedStatus(opened)).consumers, [
    { name: 'notifier', notifications: { pending: 2, failed: 1 } },
    { name: 'reader', notifications: { pending: 0, failed: 0 } },
  ])
  await sql('DELETE FROM notifications')
})

t.test('a large lag is an estimate, and costs no count', async (t) => {
  await storeInquiries('a')
  await tick()
  const { latest: first } = await readTickRange(opened)
  await sql(`SELECT setval('changes_seq_seq', nextval('changes_seq_seq') + 5000)`)
  await storeInquiries('b')
  await tick()
  await consumer('behind', first)
  const [behind] = (await readFeedStatus(opened)).consumers
  t.match(behind, { isLagExact: false, isExpired: false })
  t.ok((behind?.lagChanges ?? 0) > 5000)
})

t.test('changes are read in parts, and tailed from a tick as they come', async (t) => {
  await storeInquiries('a', 'b', 'c')
  await tick()
  const { latest } = await readTickRange(opened)
  const part = { afterTick: 0n, upToTick: latest, limit: 2 }
  const first = await readChanges(opened, { ...part, afterSeq: 0n })
  const rest = await readChanges(opened, { ...part, afterSeq: first.at(-1)?.seq ?? 0n })
  t.strictSame([ids(first).length, ids([...first, ...rest]).toSorted()], [2, ['inq_a', 'inq_b', 'inq_c']])
  t.match(first[0], { family: 'inquiry', version: 1n, cause: 'event', changed_at: Date })
  const stop = new AbortController()
  const seen: string[] = []
  const tailing = (async () => {
    const options = { from: latest, signal: stop.signal, onOutage: failOnOutage }
    for await (const changes of tailChanges(opened, options)) seen.push(...ids(changes))
  })()
  await storeInquiries('d', 'e')
  await tick()
  await eventually(() => seen.length >= 2)
  stop.abort()
  await tailing
  t.strictSame(seen.toSorted(), ['inq_d', 'inq_e'])
})

t.test('a tail of more than one part gives each change once, in order', async (t) => {
  await storeInquiries('a')
  await tick()
  const { latest: from } = await readTickRange(opened)
  await sql(`INSERT INTO changes (slot, family, object_id, version, cause)
    SELECT 0, 'resource', 'act_' || i, 1, 'rebuild' FROM generate_series(1, 2500) i`)
  await tick()
  const stop = new AbortController()
  const seen: bigint[] = []
  for await (const changes of tailChanges(opened, { from, signal: stop.signal, onOutage: failOnOutage })) {
    t.ok(changes.length <= 1000)
    seen.push(...changes.map(({ seq }) => seq))
    if (seen.length >= 2500) stop.abort()
  }
  t.equal(new Set(seen).size, 2500)
  t.strictSame(
    seen,
    seen.toSorted((one, other) => Number(one - other)),
  )
})

t.test('a tail begins at a tick, at the cursor of a consumer, or at the latest tick', async (t) => {
  await storeInquiries('a')
  await tick()
  await consumer('one', 0n)
  const { latest } = await readTickRange(opened)
  t.equal(await findStartTick(opened, {}), latest)
  t.equal(await findStartTick(opened, { consumer: 'one' }), 0n)
  t.equal(await findStartTick(opened, { tick: 0n }), 0n)
  await t.rejects(findStartTick(opened, { consumer: 'nobody' }), { code: 'CONSUMER_UNKNOWN' })
  await t.rejects(findStartTick(opened, { tick: latest + 1n }), {
    code: 'PERSONA_CURSOR_EXPIRED',
    message: `tick ${latest + 1n} is above the latest one, ${latest}`,
  })
  t.strictSame(await sql('SELECT name FROM change_consumers'), [{ name: 'one' }], 'no consumer is made')
})

t.test('old changes are counted before they are dropped, and a cursor on them has expired', async (t) => {
  await storeInquiries('a', 'b')
  await tick()
  await consumer('slow', 0n)
  await storeInquiries('c')
  await tick()
  const { latest } = await readTickRange(opened)
  await sql(`UPDATE change_ticks SET at = at - interval '40 days' WHERE tick < $1`, [String(latest)])
  t.ok((await countOldChanges(opened, 30)) >= 2)
  t.equal(await countOldChanges(opened, 60), 0)
  await dropOldChanges(opened, 30)
  t.equal(await countOldChanges(opened, 30), 0)
  t.match((await readFeedStatus(opened)).consumers, [{ name: 'slow', isExpired: true, lagChanges: null, lagMs: null }])
  const expired = { code: 'PERSONA_CURSOR_EXPIRED', message: /^tick 0 is older than what is kept, from \d+ to \d+$/ }
  await t.rejects(findStartTick(opened, { consumer: 'slow' }), expired)
  await t.rejects(readChanges(opened, { afterTick: 0n, upToTick: latest, afterSeq: 0n, limit: 1 }), expired)
  const tail = tailChanges(opened, { from: 0n, signal: new AbortController().signal, onOutage: failOnOutage })
  await t.rejects(tail.next(), expired)
})
