import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { eventually } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { CursorExpiredError } from '../../src/index.ts'
import { aFeed, next, type AFeed } from '../fixtures/a-feed.ts'

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc') as () => void

const CHANGES = 120_000

const insertSql = `
INSERT INTO changes (slot, family, object_id, version, cause, status)
SELECT 0, 'verification', 'ver_' || n, 1, 'rebuild', 'passed' FROM generate_series(1, $1::int) n`

/** How far the heap grows while a consumer reads up to a tick, in MB, and the numbers that it gets. */
async function readAll(feed: AFeed, { consumer, upTo }: { readonly consumer: string; readonly upTo: bigint }) {
  const seen: { seqs: number; last: bigint; isOrdered: boolean } = { seqs: 0, last: 0n, isOrdered: true }
  const sizes: number[] = []
  let parts = 0
  const heaps: number[] = []
  for await (const batch of feed.reader().changes({ consumer, from: 'start' })) {
    for (const { seq } of batch.changes) {
      seen.isOrdered &&= seq > seen.last
      seen.last = seq
      seen.seqs += 1
    }
    if (batch.isPart) parts += 1
    sizes.push(batch.changes.length)
    collectGarbage()
    heaps.push(process.memoryUsage().heapUsed)
    await batch.commit()
    if (batch.tick === upTo && !batch.isPart) break
  }
  const grownMb = (Math.max(...heaps) - Math.min(...heaps)) / 2 ** 20
  return { ...seen, parts, largest: Math.max(...sizes), grownMb }
}

t.test('a tick of many changes comes in parts, with flat memory, and the last part moves the cursor', async (t) => {
  const feed = await aFeed(t)
  await feed.sql(insertSql, [CHANGES])
  const tick = await feed.tick()
  const read = await readAll(feed, { consumer: 'a', upTo: tick })
  t.strictSame([read.seqs, read.isOrdered, read.parts, read.largest], [CHANGES, true, CHANGES / 5_000 - 1, 5_000])
  // All changes at once take some 40 MB.
  t.ok(read.grownMb < 12, `the heap grew by ${read.grownMb} MB`)
  t.equal(await feed.cursor('a'), tick)

  const changes = feed.reader().changes({ consumer: 'b', from: 'start' })
  for (let part = 1; part <= 3; part += 1) {
    const batch = await next(changes)
    t.ok(batch.isPart)
    await batch.commit()
  }
  await changes.return()
  t.equal(await feed.cursor('b'), 0n, 'parts store nothing')
  const again = feed.reader().changes({ consumer: 'b' })
  t.equal((await next(again)).changes[0]?.seq, 1n, 'a consumer that ended within a tick gets it from its beginning')
  await again.return()
})

t.test(
  'a tick of many transactions is read in order, with those of a transaction that was open for long',
  async (t) => {
    const feed = await aFeed(t)
    const open = new Client({ connectionString: feed.url })
    await open.connect()
    t.teardown(() => open.end())
    await open.query('BEGIN')
    await open.query(insertSql, [7_000])
    await feed.sql(insertSql, [10])
    const first = await feed.tick()
    await feed.sql(`DO $$ BEGIN FOR i IN 1..9000 LOOP ${insertSql.replace('$1::int', '3')}; COMMIT; END LOOP; END $$`)
    await open.query('COMMIT')
    const second = await feed.tick()
    const waiting = feed.reader().changes({ consumer: 'c', from: 'start' })
    t.equal((await next(waiting)).changes.length, 10, 'an open transaction delays nothing')
    await waiting.return()
    const found: bigint[] = []
    const sizes: number[] = []
    for await (const batch of feed.reader().changes({ consumer: 'd', from: first })) {
      found.push(...batch.changes.map(({ seq }) => seq))
      sizes.push(batch.changes.length)
      if (!batch.isPart) break
    }
    const rows = await feed.sql('SELECT seq FROM changes_between($1, $2) ORDER BY seq', [String(first), String(second)])
    t.equal(rows.length, 7_000 + 27_000)
    t.strictSame(found, rows.map(({ seq }) => BigInt(String(seq)))) // prettier-ignore
    t.equal(Math.max(...sizes), 5_000)
  },
)

t.test('a read that meets the end of its partition reports the expiry, and never an empty page', async (t) => {
  const feed = await aFeed(t)
  const first = await feed.announce('inq_1')
  await feed.announce('inq_2')
  const retention = new Client({ connectionString: feed.url })
  await retention.connect()
  t.teardown(() => retention.end())
  // As drop_changes does it, a moment before its commit.
  await retention.query('BEGIN')
  await retention.query('LOCK TABLE changes_0 IN ACCESS EXCLUSIVE MODE')
  const changes = feed.reader().changes({ consumer: 'e', from: first })
  const waiting = next(changes)
  const failure = waiting.then(() => null, (error: unknown) => error) // prettier-ignore
  for (let isWaiting = false; !isWaiting;) {
    const rows = await feed.sql(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%changes_page%'`) // prettier-ignore
    isWaiting = rows.length > 0
  }
  await retention.query('UPDATE change_feed SET oldest_tick = oldest_tick + 2')
  await retention.query('DELETE FROM change_ticks WHERE tick < 2')
  await retention.query('TRUNCATE changes_0')
  await retention.query('COMMIT')
  t.type(await failure, CursorExpiredError)
})

t.test('ticks without changes move on the cursor where all batches before are committed', async (t) => {
  const feed = await aFeed(t)
  const changes = feed.reader().changes({ consumer: 'f', from: 'start' })
  const first = await feed.announce('inq_1')
  const batch = await next(changes)
  const waiting = next(changes)
  await feed.silentTick()
  await feed.sql(`SELECT pg_notify('persona_changes', '2')`)
  const second = await feed.announce('inq_2')
  const later = await waiting
  t.equal(later.tick, second)
  t.equal(await feed.cursor('f'), 0n, 'nothing was committed')
  await batch.commit()
  t.equal(await feed.cursor('f'), first)
  await later.commit()
  void next(changes)
  const empty = await feed.silentTick()
  await eventually(async () => (await feed.cursor('f')) === empty)
  await changes.return()
})
