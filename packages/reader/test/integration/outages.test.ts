import { eventually, halfOpenProxy } from '@persona-ingest/testkit'
import t from 'tap'
import { openReader } from '../../src/index.ts'
import { aFeed, next, told } from '../fixtures/a-feed.ts'

t.test('a consumer waits while PostgreSQL is away, killed or frozen, and misses nothing', async (t) => {
  const feed = await aFeed(t)
  const errors: Error[] = []
  const reader = feed.reader({ onOutage: (error) => void errors.push(error) })
  const changes = reader.changes({ consumer: 'a' })
  let waiting = next(changes)
  await eventually(async () => (await feed.cursor('a')) !== null)
  for (const fault of ['kill', 'restart', 'freeze'] as const) {
    await feed.server[fault]()
    if (fault === 'kill') {
      await eventually(() => errors.length > 1)
      await feed.server.restart()
    }
    if (fault === 'freeze') await feed.server.thaw()
    const announced = await eventually(async () => feed.announce(`inq_${fault}`), { deadlineMs: 60_000 })
    const batch = await waiting
    t.strictSame(told(batch), [`inq_${fault}/1`], fault)
    t.equal(batch.tick, announced)
    waiting = next(changes)
    await batch.commit()
    t.equal(await feed.cursor('a'), announced)
  }
  // A commit waits too.
  const tick = await feed.announce('inq_last')
  const batch = await waiting
  await feed.server.kill()
  const committing = batch.commit()
  await feed.server.restart()
  await committing
  t.equal(await feed.cursor('a'), tick)
  await changes.return()
})

t.test('an iteration that meets no PostgreSQL ends by its signal, and a reader closes', async (t) => {
  const feed = await aFeed(t)
  const ending = new AbortController()
  const proxy = await halfOpenProxy({ targetPort: feed.server.port })
  t.teardown(() => proxy.close())
  const reader = openReader({ url: feed.url.replace(`:${feed.server.port}/`, `:${proxy.port}/`) })
  const changes = reader.changes({ consumer: 'b', from: 'start', signal: ending.signal })
  const tick = await feed.announce('inq_1')
  const batch = await next(changes)
  await batch.commit()
  const waiting = changes.next()
  await proxy.silent()
  ending.abort()
  t.equal((await waiting).done, true)
  await reader.close()
  t.equal(await feed.cursor('b'), tick)
})

t.test('what no wait mends is thrown: another password, a database without the tables', async (t) => {
  const feed = await aFeed(t, { migrate: false })
  const rejected = async (url: string) => {
    const reader = openReader({ url })
    t.teardown(() => reader.close())
    return next(reader.changes({ consumer: 'c' })).then(() => null, (error: unknown) => error) // prettier-ignore
  }
  t.match(await rejected(feed.url), { code: '42P01' })
  t.match(await rejected(feed.url.replace(/:[^:@/]+@/, ':wrong@')), { code: '28P01' })
})

t.test('a listening connection that is lost costs no change, and is opened again', async (t) => {
  const feed = await aFeed(t)
  const changes = feed.reader().changes({ consumer: 'd' })
  let waiting = next(changes)
  const listening = async () => {
    const rows = await feed.sql(`SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN persona_changes'`)
    return rows.length > 0 && rows
  }
  for (let round = 1; round <= 3; round += 1) {
    await eventually(listening)
    await feed.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'persona-ingest-reader' AND pid <> pg_backend_pid()`)
    await feed.announce('inq_1')
    t.strictSame(told(await waiting), [`inq_1/${round}`])
    waiting = next(changes)
  }
  await eventually(listening)
  await changes.return()
})

t.test('a listening connection that passes nothing on is found by the poll, and is opened again', async (t) => {
  const feed = await aFeed(t)
  const changes = feed.reader().changes({ consumer: 'e' })
  const listening = async () => {
    const rows = await feed.sql(`SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN persona_changes'`)
    return rows.length > 0 && rows
  }
  const waiting = next(changes)
  const pidOf = async () => Number(((await listening()) || [])[0]?.['pid'] ?? 0)
  const first = await eventually(async () => (await pidOf()) || false)
  // As a connection that is cut off: the change is announced to nobody.
  await feed.change('inq_1')
  await feed.silentTick()
  t.strictSame(told(await waiting), ['inq_1/1'])
  const again = next(changes)
  await eventually(async () => ![first, 0].includes(await pidOf()))
  await feed.announce('inq_1')
  t.strictSame(told(await again), ['inq_1/2'])
  await changes.return()
})
