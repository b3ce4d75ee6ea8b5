import { eventually } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { CursorExpiredError, type ChangesOptions } from '../../src/index.ts'
import { aFeed, next, told } from '../fixtures/a-feed.ts'

t.test('a new consumer begins at the newest tick, which is stored at once, and gets what comes later', async (t) => {
  const feed = await aFeed(t)
  const before = await feed.announce('inq_1', 'inq_2')
  const changes = feed.reader().changes({ consumer: 'a' })
  const waiting = next(changes)
  await eventually(async () => (await feed.cursor('a')) === before)
  const tick = await feed.announce('inq_1', 'inq_3')
  const batch = await waiting
  t.equal(batch.tick, tick)
  t.notOk(batch.isPart)
  t.strictSame(told(batch), ['inq_1/2', 'inq_3/1'])
  const [first] = batch.changes
  t.match(first, {
    seq: 3n,
    family: 'inquiry',
    objectId: 'inq_1',
    inquiryId: 'inq_1',
    version: 2n,
    cause: 'rebuild',
    eventId: null,
    status: 'status-2',
    previousStatus: 'status-1',
  })
  t.ok(Math.abs(Number(first?.changedAt) - Date.now()) < 60_000)
  t.equal(await feed.cursor('a'), before, 'a batch that is not committed moves no cursor')
  await batch.commit()
  t.equal(await feed.cursor('a'), tick)
  await changes.return()
  t.equal((await changes.next()).done, true)
})

t.test('a consumer goes on behind what it committed, and from start at the oldest tick', async (t) => {
  const feed = await aFeed(t)
  await feed.announce('inq_1')
  const tick = await feed.announce('inq_2')
  const reader = feed.reader()
  const read = async (options: ChangesOptions, isCommitted: boolean) => {
    for await (const batch of reader.changes(options)) {
      if (isCommitted) await batch.commit()
      return told(batch)
    }
  }
  t.strictSame(await read({ consumer: 'b', from: 'start' }, false), ['inq_1/1', 'inq_2/1'])
  t.strictSame(await read({ consumer: 'b' }, true), ['inq_1/1', 'inq_2/1'], 'it was not committed')
  await feed.announce('inq_3')
  t.strictSame(await read({ consumer: 'b', from: 'start' }, true), ['inq_3/1'], 'from start is for new consumers')
  t.strictSame(await read({ consumer: 'b', from: tick }, false), ['inq_3/1'], 'a tick counts whatever is stored')
  t.equal(await feed.cursor('b'), tick, 'and is stored at once')
  t.equal(await reader.latestTick(), tick + 1n)
})

t.test('a commit in a transaction of the caller counts with it, and is undone with it', async (t) => {
  const feed = await aFeed(t)
  const client = new Client({ connectionString: feed.url })
  await client.connect()
  t.teardown(() => client.end())
  const changes = feed.reader().changes({ consumer: 'c', from: 'start' })
  const tick = await feed.announce('inq_1')
  const batch = await next(changes)
  for (const [end, expected] of [
    ['ROLLBACK', 0n],
    ['COMMIT', tick],
  ] as const) {
    await client.query('BEGIN')
    await batch.commit(client)
    await client.query(end)
    t.equal(await feed.cursor('c'), expected, end)
  }
  await changes.return()
})

t.test('a second process of the same name never moves the cursor back', async (t) => {
  const feed = await aFeed(t)
  const iterations = [feed.reader(), feed.reader()].map((reader) => reader.changes({ consumer: 'd', from: 'start' }))
  const first = await feed.announce('inq_1')
  const [slow, fast] = await Promise.all(iterations.map(next))
  t.strictSame([slow?.tick, fast?.tick], [first, first], 'each gets every change')
  await fast?.commit()
  const second = await feed.announce('inq_2')
  const later = await next(iterations[1]!)
  await later.commit()
  await slow?.commit()
  t.equal(await feed.cursor('d'), second)
  await Promise.all(iterations.map((each) => each.return()))
})

t.test('break, the signal and close end an iteration and close its connections', async (t) => {
  const feed = await aFeed(t)
  const ending = new AbortController()
  const reader = feed.reader()
  await feed.announce('inq_1')
  for await (const batch of reader.changes({ consumer: 'e', from: 'start' })) {
    await batch.commit()
    break
  }
  const waiting = reader.changes({ consumer: 'e', signal: ending.signal })
  const result = waiting.next()
  await eventually(async () => (await feed.connections()) > 0)
  ending.abort()
  t.equal((await result).done, true, 'the signal ends an iteration that waits')
  const returned = reader.changes({ consumer: 'e' })
  const pending = returned.next()
  await returned.return()
  t.equal((await pending).done, true, 'return ends an iteration that waits')
  const [suspended, other] = [reader.changes({ consumer: 'f', from: 'start' }), reader.changes({ consumer: 'g' })]
  const batch = await next(suspended)
  const otherResult = other.next()
  await batch.commit()
  await reader.close()
  t.equal((await otherResult).done, true, 'close ends an iteration that waits')
  t.equal((await suspended.next()).done, true, 'and one that is in work')
  await eventually(async () => (await feed.connections()) === 0)
  const aborted = feed.reader().changes({ consumer: 'h', signal: AbortSignal.abort() })
  t.equal((await aborted.next()).done, true)
  t.equal(await feed.cursor('h'), null)
})

t.test('a batch in work is committed after the signal', async (t) => {
  const feed = await aFeed(t)
  const ending = new AbortController()
  const tick = await feed.announce('inq_1')
  for await (const batch of feed.reader().changes({ consumer: 'i', from: 'start', signal: ending.signal })) {
    ending.abort()
    await batch.commit()
  }
  t.equal(await feed.cursor('i'), tick)
})

t.test('an expired cursor, a tick of the future and a restored database throw CursorExpiredError', async (t) => {
  const feed = await aFeed(t)
  await feed.announce('inq_1')
  const newest = await feed.announce('inq_2')
  const failureOf = async (options: ChangesOptions) => {
    const reader = feed.reader()
    return next(reader.changes(options)).then(() => null, (error: unknown) => error) // prettier-ignore
  }
  const isExpired = (error: unknown, text: string) => {
    t.type(error, CursorExpiredError, text)
    t.match(error, { name: 'CursorExpiredError', code: 'PERSONA_CURSOR_EXPIRED' })
  }
  isExpired(await failureOf({ consumer: 'j', from: newest + 1n }), 'a tick of the future')
  t.equal(await feed.cursor('j'), null, 'is not stored')
  await feed.sql(`INSERT INTO change_consumers (name, tick) VALUES ('old', 0), ('new', $1)`, [String(newest)])
  const waiting = feed.reader().changes({ consumer: 'new' })
  const waited = next(waiting).catch((error: unknown) => error)
  await feed.sql(`SELECT drop_changes(clock_timestamp(), '1 day')`)
  isExpired(await failureOf({ consumer: 'old' }), 'a cursor whose changes were dropped')
  isExpired(await failureOf({ consumer: 'new', from: 0n }), 'a tick that was dropped')
  // A restore is told by the system identifier: the next tick forgets all others.
  await feed.sql('UPDATE change_feed SET system_identifier = system_identifier + 1')
  await feed.announce('inq_3')
  isExpired(await waited, 'a cursor of a database that was restored, also of an iteration that waits')
  isExpired(await failureOf({ consumer: 'new' }), 'and at a start')
  t.equal(await feed.reader().latestTick(), newest + 1_000_000n)
})

t.test('names and places that no consumer can have are refused before anything is read', async (t) => {
  const feed = await aFeed(t)
  const reader = feed.reader()
  for (const consumer of ['', 'a\0b', 'x'.repeat(256)]) t.throws(() => reader.changes({ consumer }), RangeError)
  t.throws(() => reader.changes({ consumer: 'a', from: 5 as unknown as bigint }), RangeError)
  t.throws(() => feed.reader({ keys: ['nonsense'] }), RangeError)
  t.strictSame(await feed.sql('SELECT * FROM change_consumers'), [])
})

t.test('settings of a role and parsers of the program change nothing', async (t) => {
  const feed = await aFeed(t)
  await feed.sql(`CREATE SCHEMA postgres; CREATE TABLE postgres.changes (seq int); CREATE TABLE postgres.change_ticks (tick int);
    CREATE TABLE postgres.inquiries (id int); CREATE FUNCTION postgres.latest_change_tick() RETURNS int LANGUAGE sql AS 'SELECT 7'`)
  for (const setting of [
    `search_path = postgres, public`,
    `DateStyle = 'German'`,
    `TimeZone = 'America/Lima'`,
    `default_transaction_isolation = 'serializable'`,
    `extra_float_digits = -15`,
    `bytea_output = 'escape'`,
    `enable_indexscan = off`,
    `statement_timeout = '5s'`,
  ])
    await feed.sql(`ALTER ROLE postgres SET ${setting}`)
  const { types } = await import('pg')
  const { INT8, TIMESTAMPTZ, JSON } = types.builtins
  const parsers = [INT8, TIMESTAMPTZ, JSON].map((oid) => [oid, types.getTypeParser(oid)] as const)
  for (const [oid] of parsers) types.setTypeParser(oid, () => 'replaced')
  t.teardown(() => parsers.forEach(([oid, parser]) => types.setTypeParser(oid, parser)))
  const changes = feed.reader().changes({ consumer: 'k', from: 'start' })
  const waiting = next(changes)
  await feed.sql(
    `INSERT INTO public.inquiries (id, environment, tags, attributes, fields, relationships, created_at, event_created_at, event_id, event_rank)
     VALUES ('inq_1', 'sandbox', '{a,b}', '{"n":1.5}', '{}', '{}', '2026-02-03T04:05:06.789Z', '2026-02-03T04:05:06.789Z', 'evt_1', 1)`,
  )
  // Ticks need the isolation that the role has no longer.
  await feed.sql('BEGIN ISOLATION LEVEL READ COMMITTED; SELECT public.make_change_tick(); COMMIT')
  const batch = await waiting
  t.strictSame(told(batch), ['inq_1/1'])
  t.ok(Math.abs(Number(batch.changes[0]?.changedAt) - Date.now()) < 60_000)
  const reader = feed.reader()
  const at = new Date('2026-02-03T04:05:06.789Z')
  t.match(await reader.findInquiry('inq_1'), { version: 1n, tags: ['a', 'b'], createdAt: at, attributes: { n: 1.5 } })
  t.match(await reader.listInquiries(), { rows: [{ id: 'inq_1', eventCreatedAt: at }], next: null })
  await changes.return()
})
