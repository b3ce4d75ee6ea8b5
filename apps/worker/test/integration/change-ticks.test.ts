import { Deadline } from '@persona-ingest/core'
import { createProducer } from '@persona-ingest/queue'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aWorkerProcess } from '../fixtures/a-worker-process.ts'
import { aDelivery } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
// Counts each call that a function of the feed gets.
const { url, sql } = await throwAwayDatabase(t, { settings: { track_functions: 'all' } })
const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
t.teardown(() => producer.close())
const env = { REDIS_URL: redis.url, DATABASE_URL: url }

let events = 0
async function deliver(): Promise<string> {
  const id = `evt_${(events += 1)}`
  await producer.enqueue(aDelivery({ id, inquiryId: `inq_${events}` }), new Deadline(5_000))
  return id
}
/** How long after its change an event's tick was made, in ms; throws where there is none. */
async function tickedAfterMs(eventId: string): Promise<number> {
  const [row] = await sql(
    `SELECT extract(epoch FROM min(t.at) - c.changed_at) * 1000 AS ms FROM changes c
     JOIN change_ticks t ON pg_visible_in_snapshot(c.xid, t.snapshot) WHERE c.event_id = $1 GROUP BY c.seq, c.changed_at`,
    [eventId],
  )
  if (row === undefined) throw new Error(`expected a tick of ${eventId}`)
  return Number(row['ms'])
}
const untilTicked = (eventId: string) => eventually(() => tickedAfterMs(eventId), { deadlineMs: 30_000, everyMs: 25 })
const attempts = async () =>
  Number((await sql(`SELECT sum(calls)::int AS calls FROM pg_stat_user_functions WHERE funcname = 'make_change_tick'`))[0]?.['calls'] ?? 0) // prettier-ignore
const stopped = async (worker: Awaited<ReturnType<typeof aWorkerProcess>>) => {
  worker.signal('SIGTERM')
  t.strictSame(await worker.exit, { code: 0, signal: null })
}

t.test('a change has its tick soon after its commit, also after a while without changes', async (t) => {
  const worker = await aWorkerProcess(t, env)
  const took: number[] = []
  for (let round = 0; round < 10; round += 1) took.push(await untilTicked(await deliver()))
  t.comment(`ticks after ${took.map(Math.round).join(', ')} ms`)
  // At most 100 ms where the worker is not starved, which a busy machine may do to it.
  t.ok(Math.min(...took) < 100)
  t.ok(took.toSorted((one, other) => one - other)[5]! < 1_000, 'half of them, on a busy machine')
  await stopped(worker)
})

t.test('a worker without work makes no ticks, and asks for one every two seconds at most', async (t) => {
  const worker = await aWorkerProcess(t, env)
  await untilTicked(await deliver())
  const before = { calls: await attempts(), ticks: (await sql('SELECT 1 FROM change_ticks')).length }
  const begunAtMs = performance.now()
  await eventually(async () => (await attempts()) > before.calls + 2, { deadlineMs: 60_000 })
  const calls = (await attempts()) - before.calls
  // Statistics of a session arrive late, so that calls from before may be among them.
  t.ok(calls <= (performance.now() - begunAtMs) / 2_000 + 4, `${calls} calls`)
  t.equal((await sql('SELECT 1 FROM change_ticks')).length, before.ticks)
  await stopped(worker)
})

t.test(
  'changes of a worker that stopped or died before its tick get one from another within five seconds',
  async (t) => {
    const [first, second] = [await aWorkerProcess(t, env), await aWorkerProcess(t, env)]
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
      await untilTicked(await deliver())
      first.signal(signal)
      await sql(`UPDATE inquiries SET status = $1 WHERE id = 'inq_1'`, [signal])
      const [change] = await sql(`SELECT seq, changed_at FROM changes WHERE status = $1`, [signal])
      const ticked = async () => {
        const [tick] = await sql(
          `SELECT extract(epoch FROM min(t.at) - c.changed_at) * 1000 AS ms FROM changes c
         JOIN change_ticks t ON pg_visible_in_snapshot(c.xid, t.snapshot) WHERE c.seq = $1 GROUP BY c.changed_at`,
          [change?.['seq']],
        )
        if (tick === undefined) throw new Error('expected a tick')
        return Number(tick['ms'])
      }
      const ms = await eventually(ticked, { deadlineMs: 30_000 })
      t.ok(ms < 5_000, `${Math.round(ms)} ms after ${signal}`)
    }
    await first.kill()
    await stopped(second)
  },
)

t.test('a worker makes a last tick before it ends', async (t) => {
  const worker = await aWorkerProcess(t, env)
  const ids = await Promise.all(Array.from({ length: 20 }, deliver))
  await eventually(async () => (await sql('SELECT 1 FROM events WHERE id = ANY($1)', [ids])).length === 20)
  await stopped(worker)
  for (const id of ids) t.ok((await tickedAfterMs(id)) > 0)
})

t.test('changes older than CHANGES_KEEP_DAYS are dropped at the start', async (t) => {
  await sql(`UPDATE change_ticks SET at = at - interval '4 days'`)
  await sql(`UPDATE change_feed SET slot_since = slot_since - interval '4 days'`)
  const kept = async () => (await sql('SELECT 1 FROM changes')).length
  const before = await kept()
  const patient = await aWorkerProcess(t, { ...env, CHANGES_KEEP_DAYS: '5' })
  const [last] = await sql('SELECT slot FROM change_feed')
  // The first drop turns to another partition, since this one is older than a sixth of the days.
  await eventually(async () => (await sql('SELECT slot FROM change_feed'))[0]?.['slot'] !== 0 || last?.['slot'] !== 0)
  await stopped(patient)
  t.equal(await kept(), before)
  const worker = await aWorkerProcess(t, { ...env, CHANGES_KEEP_DAYS: '3' })
  await eventually(async () => (await kept()) === 0, { deadlineMs: 30_000 })
  const [feed] = await sql('SELECT oldest_tick = latest_change_tick() AS "isLatest" FROM change_feed')
  t.strictSame(feed, { isLatest: true })
  await untilTicked(await deliver())
  await stopped(worker)
})
