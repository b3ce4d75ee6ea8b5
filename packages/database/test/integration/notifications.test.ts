import t from 'tap'
import {
  beginConsumer,
  ChangeCursorMovedError,
  claimNotification,
  countNotifications,
  holdReading,
  keepNotifications,
  leaveReading,
  listDueNotifications,
  listFailedNotifications,
  releaseNotification,
  resendNotifications,
  settleFailed,
  settleSent,
  takeChanges,
  type Change,
} from '../../src/index.ts'
import { aDatabase } from '../fixtures/a-database.ts'

const { opened: database, sql, store } = await aDatabase(t)

function aChange(objectId: string, version: number, more: Partial<Change> = {}): Change {
  return {
    family: 'inquiry',
    objectId,
    inquiryId: objectId,
    version: BigInt(version),
    cause: 'event',
    eventId: 'evt_1',
    status: 'approved',
    previousStatus: null,
    changedAt: new Date('2026-11-01T10:00:00.123Z'),
    ...more,
  }
}

let consumers = 0
/** The calls for a consumer of a test's own. */
function aConsumer() {
  const consumer = `consumer-${(consumers += 1)}`
  const claimOf = (objectId: string, claim = 'a') => ({ consumer, objectId, claim })
  return {
    consumer,
    claimOf,
    keep: async (...changes: readonly Change[]) => await keepNotifications(database.sql, consumer, changes),
    claim: async (objectId: string, claim = 'a', claimMs = 60_000) =>
      await claimNotification(database, { ...claimOf(objectId, claim), claimMs }),
    due: async () => await listDueNotifications(database, consumer, 100),
    makeDue: async () =>
      await sql(`UPDATE notifications SET next_attempt_at = now() - interval '1 second' WHERE consumer = $1`, [consumer]), // prettier-ignore
  }
}

/** Below 0, since PostgreSQL rounds the time of the first attempt to a millisecond. */
const PASSED = -1

const attempt = (version: number, more: object = {}) => ({
  version: BigInt(version),
  error: 'ENDPOINT_FAILED',
  status: 503,
  retryMs: 60_000,
  firstRetryMs: 60_000,
  giveUpAfterMs: 3_600_000,
  ...more,
})

t.test('the newest change of an object is kept, whatever the order', async (t) => {
  const { consumer, keep, claim } = aConsumer()
  t.strictSame(await keep(aChange('inq_b', 3), aChange('inq_a', 1), aChange('inq_b', 2)), ['inq_a', 'inq_b'])
  t.strictSame(await keep(aChange('inq_b', 3), aChange('inq_b', 1)), [], 'what is not newer changes nothing')
  t.match(await claim('inq_b'), { ...aChange('inq_b', 3), attempts: 0, firstAttemptAt: Date })
  t.match(await countNotifications(database, consumer), { pending: 2, failed: 0 })
})

t.test('one attempt at a time holds an object, until its claim ends', async (t) => {
  const { claimOf, keep, claim, due } = aConsumer()
  await keep(aChange('inq_1', 1))
  t.ok(await claim('inq_1', 'a'))
  t.equal(await claim('inq_1', 'b'), null)
  t.strictSame(await due(), [])
  t.equal(await releaseNotification(database, claimOf('inq_1', 'b')), false, 'of another')
  t.equal(await releaseNotification(database, claimOf('inq_1', 'a')), true)
  t.ok(await claim('inq_1', 'b', -1))
  t.ok(await claim('inq_1', 'c'), 'a claim that ran out')
})

t.test('a version that was sent is forgotten; a newer one that came meanwhile is due', async (t) => {
  const { claimOf, keep, claim, due } = aConsumer()
  await keep(aChange('inq_1', 1), aChange('inq_2', 1))
  await claim('inq_1')
  await claim('inq_2')
  await keep(aChange('inq_2', 2))
  t.strictSame(await due(), [], 'both are under way')
  t.equal(await settleSent(database, claimOf('inq_1'), 1n), false)
  t.equal(await settleSent(database, claimOf('inq_2'), 1n), true)
  t.equal(await settleSent(database, claimOf('inq_2'), 1n), false, 'once more')
  t.strictSame(await due(), ['inq_2'])
  t.match(await claim('inq_2'), { version: 2n })
})

t.test('a failed attempt is repeated, and given up in the end', async (t) => {
  const { consumer, claimOf, keep, claim, due, makeDue } = aConsumer()
  await keep(aChange('inq_1', 1))
  await claim('inq_1')
  t.equal(await settleFailed(database, claimOf('inq_1'), attempt(1)), 'pending')
  t.strictSame(await due(), [])
  t.equal(await claim('inq_1'), null, 'not yet')
  await makeDue()
  t.match(await claim('inq_1'), { attempts: 1 })
  t.equal(await settleFailed(database, claimOf('inq_1', 'other'), attempt(1)), null)
  t.equal(await settleFailed(database, claimOf('inq_1'), attempt(1, { giveUpAfterMs: PASSED })), 'failed')
  t.match(await countNotifications(database, consumer), { pending: 0, failed: 1, oldestSeconds: 0 })
  const { failed } = await listFailedNotifications(database, { consumer, limit: 10 })
  t.match(failed, [{ object_id: 'inq_1', version: 1, attempts: 2, last_error: 'ENDPOINT_FAILED', last_status: 503 }])
  await makeDue()
  t.strictSame(await due(), [])
  t.strictSame(await keep(aChange('inq_1', 2)), ['inq_1'], 'its next change is sent')
  t.match(await claim('inq_1'), { version: 2n, attempts: 0 })
})

t.test('the last attempt is not planned beyond the end', async (t) => {
  const { consumer, claimOf, keep, claim } = aConsumer()
  await keep(aChange('inq_1', 1))
  await claim('inq_1')
  await settleFailed(database, claimOf('inq_1'), attempt(1, { retryMs: 3_600_000, giveUpAfterMs: 5_000 }))
  const [row] = await sql(
    'SELECT next_attempt_at - first_attempt_at = interval $$5 s$$ AS fits FROM notifications WHERE consumer = $1',
    [consumer],
  )
  t.equal(row?.['fits'], true)
})

t.test('a newer version of a failing object begins its schedule anew, soon', async (t) => {
  const { consumer, claimOf, keep, claim, makeDue } = aConsumer()
  await keep(aChange('inq_1', 1))
  await claim('inq_1')
  await settleFailed(database, claimOf('inq_1'), attempt(1, { retryMs: 3_600_000 }))
  t.strictSame(await keep(aChange('inq_1', 2)), [], 'not at once')
  const [row] = await sql(
    `SELECT attempts, first_attempt_at, next_attempt_at < now() + interval '2 s' AS soon FROM notifications WHERE consumer = $1`,
    [consumer],
  )
  t.same(row, { attempts: 0, first_attempt_at: null, soon: true })
  await makeDue()
  await claim('inq_1')
  await keep(aChange('inq_1', 3))
  await settleFailed(database, claimOf('inq_1'), attempt(2, { giveUpAfterMs: PASSED }))
  await makeDue()
  t.match(await claim('inq_1'), { version: 3n, attempts: 0 }, 'the failure of the older version is not its own')
})

t.test('what is listed as failed is sent again on request, and nothing else', async (t) => {
  const [one, other] = [aConsumer(), aConsumer()]
  for (const { keep, claim, claimOf } of [one, other]) {
    await keep(aChange('inq_1', 1), aChange('inq_2', 1))
    for (const objectId of ['inq_1', 'inq_2']) {
      await claim(objectId)
      await settleFailed(database, claimOf(objectId), attempt(1, { giveUpAfterMs: PASSED }))
    }
  }
  const { consumer } = one
  t.strictSame(await resendNotifications(database, { consumer, selection: { objectIds: ['inq_1', 'inq_9'] } }), {
    resent: ['inq_1'],
    notListed: ['inq_9'],
  })
  t.strictSame(await one.due(), ['inq_1'])
  t.strictSame(await other.due(), [])
  const again = await resendNotifications(database, { selection: { isAll: true } })
  t.ok(again.resent.includes('inq_1'))
  t.strictSame((await one.due()).toSorted(), ['inq_1', 'inq_2'])
  t.strictSame((await other.due()).toSorted(), ['inq_1', 'inq_2'])
  t.strictSame(await listFailedNotifications(database, { limit: 10 }), { failed: [], hasMore: false })
})

t.test('one process at a time reads for a consumer', async (t) => {
  const { consumer } = aConsumer()
  t.equal(await holdReading(database, { consumer, holder: 'a', holdMs: 60_000 }), true)
  t.equal(await holdReading(database, { consumer, holder: 'b', holdMs: 60_000 }), false)
  t.equal(await holdReading(database, { consumer, holder: 'a', holdMs: -1 }), true, 'a stays')
  t.equal(await holdReading(database, { consumer, holder: 'b', holdMs: 60_000 }), true, 'a ran out')
  await leaveReading(database, { consumer, holder: 'a' })
  t.equal(await holdReading(database, { consumer, holder: 'a', holdMs: 60_000 }), false)
  await leaveReading(database, { consumer, holder: 'b' })
  t.equal(await holdReading(database, { consumer, holder: 'a', holdMs: 60_000 }), true)
})

t.test('a batch is kept once: its cursor moves in the same transaction', async (t) => {
  await store({ id: 'evt_a', inquiryId: 'inq_a' } as object)
  await sql('SELECT make_change_tick()')
  const { consumer, due } = aConsumer()
  const cursor = await beginConsumer(database, consumer, 'start')
  t.equal(cursor, 0n)
  t.equal(await beginConsumer(database, consumer, 'now'), 0n, 'it has begun')
  t.ok((await beginConsumer(database, 'another', 'now')) > 0n)
  const batch = {
    changes: [aChange('inq_a', 1)],
    commit: async (client: { query(text: string, values?: readonly unknown[]): Promise<{ rowCount: number }> }) => {
      const { rowCount } = await client.query('UPDATE change_consumers SET tick = $2 WHERE name = $1 RETURNING tick', [consumer, 1n]) // prettier-ignore
      t.equal(rowCount, 1)
    },
  }
  t.strictSame(await takeChanges(database, { consumer, cursor, batch }), { dueIds: ['inq_a'], cursor: 1n })
  await settleSent(database, { consumer, objectId: 'inq_a', claim: 'a' }, 1n)
  await t.rejects(takeChanges(database, { consumer, cursor, batch }), ChangeCursorMovedError)
  t.strictSame(await due(), [], 'what was sent does not come back')
})
