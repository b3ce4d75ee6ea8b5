import { openDatabase, readFeedStatus, storeDeadLetter, storeEvents } from '@persona-ingest/database'
import { readEvent } from '@persona-ingest/persona'
import { createProducer } from '@persona-ingest/queue'
import { freePort, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { anEvent, anObject, bodyOf } from '@persona-ingest/testkit/events'
import t from 'tap'
import {
  discardDeadLetters,
  encryptStored,
  eraseFound,
  findErasure,
  previewPrune,
  pruneStored,
  readIngestStatus,
  rebuildProjections,
  replayDeadLetters,
  replayEvents,
} from '../../src/index.ts'

const { url, sql } = await throwAwayDatabase(t)
const redis = await throwAwayRedis(t)
const database = openDatabase({ url, encryptionKeys: [] })
const producer = createProducer({ redisUrl: redis.url, encryptionKeys: [] })
t.teardown(async () => {
  await producer.close()
  await database.close()
})

const receivedAtMs = Date.UTC(2026, 1, 3)
const actor = { operator: 'zoe', reason: 'a test' }
const { signal } = new AbortController()
const common = { database, producer, actor, signal, rate: 100_000, wait: false, onProgress: () => undefined }
const lastRecord = async () =>
  (
    await sql('SELECT command, operator, reason, arguments, outcome, counts FROM operations ORDER BY id DESC LIMIT 1')
  )[0]

function bodyAbout(id: string): Buffer {
  const data = anObject('inquiry', `inq_of_${id}`, { attributes: { 'reference-id': `ref-${id}` } })
  return bodyOf(anEvent({ id, name: 'inquiry.created', createdAt: new Date(receivedAtMs).toISOString(), data }))
}

async function aDeadLetter(eventId: string | null, body: Buffer, reason: string): Promise<string> {
  const environment = 'production' as const
  await storeDeadLetter(database, {
    eventId,
    environment,
    reason,
    error: 'a test',
    receivedAtMs,
    body,
    attempts: 0,
  })
  const [row] = await sql('SELECT max(id)::text AS id FROM dead_letters')
  return String(row?.['id'])
}

t.before(async () => {
  const events = ['evt_1', 'evt_2'].map((id) =>
    readEvent({ body: bodyAbout(id), environment: 'production', receivedAtMs }),
  )
  await storeEvents(database, events)
})

t.test('a replay of events is enqueued and recorded; ids that are not in the log are missing', async (t) => {
  const report = await replayEvents({ ...common, selection: { ids: ['evt_1', 'evt_unknown'] } })
  t.strictSame(report, { selected: 1, enqueued: 1, missing: ['evt_unknown'], applied: null, not_applied: null })
  t.strictSame([...(await producer.queuedReplays(['evt_1', 'evt_2']))], ['evt_1'])
  t.match(await lastRecord(), {
    command: 'replay',
    operator: 'zoe',
    reason: 'a test',
    arguments: { ids: ['evt_1', 'evt_unknown'], rate: 100_000 },
    outcome: 'done',
    counts: { enqueued: 1 },
  })
})

t.test('an aborted replay enqueues nothing more', async (t) => {
  const report = await replayEvents({ ...common, selection: {}, signal: AbortSignal.abort() })
  t.match(report, { selected: 2, enqueued: 0 })
})

t.test('dead letters are replayed or refused, each with the cause', async (t) => {
  const usable = await aDeadLetter('evt_a', bodyAbout('evt_a'), 'ATTEMPTS_EXHAUSTED')
  const unusable = await aDeadLetter(null, Buffer.from('no JSON'), 'INVALID_JSON')
  const states: unknown[] = []
  const selection = { ids: [usable, unusable, '999'] }
  const onProgress = (progress: unknown) => states.push(progress)
  const report = await replayDeadLetters({ ...common, selection, nowMs: Date.now(), onProgress })
  t.match(report, {
    enqueued: [{ id: usable, event_id: 'evt_a' }],
    refused: [{ id: unusable, why: 'still no usable event: INVALID_JSON' }],
    missing: ['999'],
    applied: null,
  })
  t.strictSame(states.at(-1), { phase: 'read', done: 2, enqueued: 1 })
  t.match(await lastRecord(), { command: 'dead-letters replay', counts: { enqueued: 1, refused: 1 } })
})

t.test('a queue that is away rejects, and the operation is recorded as failed', async (t) => {
  const away = createProducer({ redisUrl: `redis://127.0.0.1:${await freePort()}`, encryptionKeys: [] })
  t.teardown(() => away.close())
  await t.rejects(replayEvents({ ...common, producer: away, selection: { ids: ['evt_1'] } }), {
    code: 'QUEUE_UNREACHABLE',
  })
  t.match(await lastRecord(), { command: 'replay', outcome: 'failed' })
  t.match(await readIngestStatus(away, database, Date.now()), {
    redis: { reachable: false },
    queue: null,
    database: { reachable: true },
    events: { total: 2 },
  })
})

t.test('dead letters are discarded once', async (t) => {
  const selection = { reason: 'INVALID_JSON' }
  t.match(await discardDeadLetters({ database, actor, selection }), { discarded: 1 })
  t.match(await discardDeadLetters({ database, actor, selection }), { discarded: 0 })
  t.match(await lastRecord(), {
    command: 'dead-letters discard',
    arguments: { code: 'INVALID_JSON' },
    counts: { discarded: 0 },
  })
})

/** The newest tick, after which no change waits for another. */
async function tickOfAll(): Promise<bigint> {
  const { newestTick, waiting } = await readFeedStatus(database)
  t.equal(waiting, 0, 'readers are told')
  return newestTick?.tick ?? 0n
}

t.test('a rebuild tells, and then mends, what is not as the log says', async (t) => {
  await sql(`UPDATE inquiries SET status = 'of nobody' WHERE id = 'inq_of_evt_1'`)
  await sql(`DELETE FROM inquiries WHERE id = 'inq_of_evt_2'`)
  const context = { database, databaseUrl: url, encryptionKeys: [], actor, signal }
  const request = { isRestarting: false, maxNamed: 1, onProgress: () => undefined }
  const before = await sql('SELECT count(*)::int AS count FROM operations')
  const verified = await rebuildProjections(context, { ...request, isVerifying: true })
  t.match(verified.differences, { total: 2, counts: { missing: 1, different: 1, unexpected: 0 }, named: { length: 1 } })
  t.strictSame(await sql('SELECT count(*)::int AS count FROM operations'), before, 'a comparison is not recorded')
  t.match(await rebuildProjections(context, { ...request, isVerifying: false }), { differences: { total: 2 } })
  t.match(await lastRecord(), { command: 'rebuild', counts: { events: 2, missing: 1, different: 1 } })
  const ticked = await tickOfAll()
  t.match(await rebuildProjections(context, { ...request, isVerifying: true }), { differences: { total: 0 } })
  t.equal(await tickOfAll(), ticked)
  const interrupted = rebuildProjections({ ...context, signal: AbortSignal.abort() }, { ...request, isVerifying: true })
  await t.rejects(interrupted, { code: 'OPERATION_INTERRUPTED' })
})

t.test('encryption needs keys, and is recorded with its counts', async (t) => {
  const context = { database, databaseUrl: url, actor, signal }
  const options = { onProgress: () => undefined }
  await t.rejects(encryptStored({ ...context, encryptionKeys: [] }, options), { code: 'ENCRYPTION_KEYS_MISSING' })
  const key = `a:${Buffer.alloc(32, 'a').toString('base64')}`
  t.match(await encryptStored({ ...context, encryptionKeys: [key] }, options), { 'events.payload': 2 })
  t.match(await lastRecord(), { command: 'encrypt', outcome: 'done', counts: { 'events.payload': 2 } })
})

t.test('an erasure counts first; rows that no key decrypts are named, and all else is erased', async (t) => {
  const { targets, undecrypted } = await findErasure(database, 'inq_of_evt_1')
  if (targets === null) throw new Error('Expected targets')
  const found = { targets, undecrypted }
  const ticked = await tickOfAll()
  const dry = await eraseFound(database, found, { reason: null, isDryRun: true })
  t.match(dry, { isDryRun: true, targets: { inquiryIds: ['inq_of_evt_1'] }, undecrypted: { event_ids: ['evt_1'] } })
  t.strictSame(await sql('SELECT id FROM erasures'), [])
  const done = await eraseFound(database, found, { reason: 'ticket 7', isDryRun: false })
  t.match(done, { report: { erasureIds: { length: 1 } }, undecrypted: { event_ids: ['evt_1'] } })
  t.match(await sql('SELECT object_id, reason FROM erasures'), [{ object_id: 'inq_of_evt_1', reason: 'ticket 7' }])
  t.ok((await tickOfAll()) > ticked)
  t.match(await findErasure(database, 'inq_of_nobody'), { targets: null })
})

t.test('a prune is counted, made and recorded', async (t) => {
  const request = {
    olderThanDays: 1,
    only: 'dead-letters' as const,
    changesKeepDays: 30,
    nowMs: Date.now() + 2 * 86_400_000,
  }
  t.match(await previewPrune({ database, databaseUrl: url }, request), { deadLetters: 1, changes: 0 })
  const context = { database, databaseUrl: url, encryptionKeys: [], actor, signal }
  t.match(await pruneStored(context, { ...request, onProgress: () => undefined }), { events: 0, deadLetters: 1 })
  t.match(await lastRecord(), {
    command: 'prune',
    arguments: { older_than_days: 1, only: 'dead-letters' },
    counts: { dead_letters: 1 },
  })
})
