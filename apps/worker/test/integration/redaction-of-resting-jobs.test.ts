import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { eraseTargets, openDatabase } from '@persona-ingest/database'
import { createConsumer } from '@persona-ingest/queue'
import { everyKey, everyRow, eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { linesOf, verified } from '../../../../packages/database/test/fixtures/rebuilt.ts'
import { reduceResting } from '../../src/upkeep.ts'
import { aCountingStore } from '../fixtures/a-store.ts'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery } from '../fixtures/an-event.ts'

// Most of the time is spent waiting for the next pass.
t.jobs = 4
const MARK = 'Marked-Person-Zoe'
const person = { 'name-first': MARK, fields: { first: { type: 'string', value: MARK } } }

t.test(
  'a job that rests before its next try is reduced when a redaction comes, and stored reduced',
  { buffered: true },
  async (t) => {
    const redis = await throwAwayRedis(t)
    const { url, sql } = await throwAwayDatabase(t)
    const { prefix, producer, enqueue, startWorker, isEmpty } = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
    const delayed = `${prefix}:persona-events:delayed`
    await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id LIKE 'evt_failing%' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$`)
    await sql('CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()')
    startWorker({ MAX_ATTEMPTS: '100' })
    await enqueue([
      aDelivery({ id: 'evt_failing', attributes: person }),
      aDelivery({ id: 'evt_other', inquiryId: 'inq_2' }),
    ])
    // Others pass, so that the failure is the event's own; then it rests for an hour.
    const restUntil = (Date.now() + 3_600_000) * 0x1000
    await eventually(
      async () => {
        await enqueue([aDelivery({ id: `evt_${randomBytes(4).toString('hex')}`, inquiryId: 'inq_3' })])
        return (await redis.command('ZADD', delayed, 'XX', 'CH', restUntil, 'e-evt_failing')) === 1
      },
      { deadlineMs: 30_000 },
    )
    t.match(await everyKey(redis), MARK)
    await enqueue([aDelivery({ id: 'evt_9', name: 'inquiry.redacted', createdAt: '2026-02-03T11:00:00.000Z' })])
    await eventually(async () => !(await everyKey(redis)).includes(MARK), { deadlineMs: 30_000 })
    t.ok(await redis.command('ZSCORE', delayed, 'e-evt_failing'), 'it still rests')
    t.equal((await producer.counts()).delayed, 1)
    await sql('DROP TRIGGER refuse ON events')
    await redis.command('ZADD', delayed, 'XX', 0, 'e-evt_failing')
    await isEmpty(30_000)
    t.notMatch(JSON.stringify(await everyRow(sql)), MARK)
    t.equal((await sql(`SELECT id FROM events WHERE id = 'evt_failing'`)).length, 1)
    t.strictSame(linesOf(await verified(url)), [])
  },
)

/** A whole system of which nothing is taken: what is in the queue carries the mark. */
async function aPausedSystem(t: Test) {
  const redis = await throwAwayRedis(t)
  const { url, sql } = await throwAwayDatabase(t)
  const queue = aQueue(t, { redisUrl: redis.url, databaseUrl: url })
  const key = (name: string) => `${queue.prefix}:persona-events:${name}`
  const database = openDatabase({ url, encryptionKeys: [], connections: 1 })
  t.teardown(() => database.close())
  await queue.producer.probe()
  await redis.command('HSET', key('meta'), 'paused', 1)
  return {
    ...queue,
    redis,
    sql,
    key,
    url,
    erase: async () => {
      const targets = {
        subject: 'inquiry' as const,
        inquiryIds: ['inq_1'],
        accountIds: [],
        others: [],
        deadLetterIds: [],
      }
      await eraseTargets(database, targets, { isDryRun: false, nowMs: Date.now() })
    },
    resume: async () => {
      await redis.command('HDEL', key('meta'), 'paused')
      await redis.command('ZADD', key('marker'), 0, '0')
    },
    isErased: () => eventually(async () => !(await everyKey(redis)).includes(MARK), { deadlineMs: 30_000 }),
  }
}

t.test(
  'jobs of a paused queue are reduced when an erasure comes, and stored reduced',
  { buffered: true },
  async (t) => {
    const { enqueue, startWorker, erase, resume, isErased, isEmpty, redis, sql, key, url } = await aPausedSystem(t)
    const others = Array.from({ length: 3 }, (_, at) => aDelivery({ id: `evt_other_${at}`, inquiryId: 'inq_2' }))
    // Alone, in a group, and in a job that a killed worker had in flight.
    await enqueue([aDelivery({ id: 'evt_active', attributes: person })])
    await redis.command('LMOVE', key('wait'), key('active'), 'RIGHT', 'LEFT')
    await enqueue([aDelivery({ id: 'evt_alone', attributes: person })])
    await enqueue([aDelivery({ id: 'evt_grouped', attributes: person }), ...others])
    t.match(await everyKey(redis), MARK)
    startWorker()
    await erase()
    await isErased()
    t.strictSame(await sql('SELECT id FROM events'), [], 'nothing was taken')
    await resume()
    await isEmpty(60_000)
    t.equal((await sql('SELECT id FROM events')).length, 6)
    t.notMatch(JSON.stringify(await everyRow(sql)), MARK)
    t.strictSame(linesOf(await verified(url)), [])
  },
)

t.test('jobs that wait when the queue is paused after an erasure are reduced too', { buffered: true }, async (t) => {
  const { enqueue, startWorker, erase, resume, isErased, redis, key } = await aPausedSystem(t)
  await resume()
  const { worker } = startWorker()
  await eventually(async () => (await worker.readiness.missing()).length === 0)
  await erase()
  // Two passes after the erasure.
  await setTimeout(12_000)
  await redis.command('HSET', key('meta'), 'paused', 1)
  await redis.command('DEL', key('marker'))
  await enqueue([aDelivery({ id: 'evt_late', attributes: person })])
  await isErased()
  t.equal(await redis.command('LLEN', key('wait')), 1)
})

t.test(
  'a group that rests is reduced when a redaction comes, also beside a body that does not decrypt',
  { buffered: true },
  async (t) => {
    const { enqueue, startWorker, resume, isErased, redis, sql, key, producer, url } = await aPausedSystem(t)
    await enqueue([
      aDelivery({ id: 'evt_grouped', attributes: person }),
      aDelivery({ id: 'evt_lost', inquiryId: 'inq_2' }),
      aDelivery({ id: 'evt_other', inquiryId: 'inq_2' }),
    ])
    const jobId = String(await redis.command('RPOP', key('wait')))
    t.match(jobId, /^g-3-/)
    const job = JSON.parse(String(await redis.command('HGET', key(jobId), 'data'))) as {
      deliveries: { eventId: string }[]
    }
    const sealed = { encoding: 'sealed', keyId: 'lost', body: 'AAAA' }
    const deliveries = job.deliveries.map((each) => (each.eventId === 'evt_lost' ? { ...each, ...sealed } : each))
    await redis.command('HSET', key(jobId), 'data', JSON.stringify({ ...job, deliveries }))
    await redis.command('ZADD', key('delayed'), (Date.now() + 3_600_000) * 0x1000, jobId)
    await resume()
    startWorker()
    await enqueue([aDelivery({ id: 'evt_9', name: 'inquiry.redacted', createdAt: '2026-02-03T11:00:00.000Z' })])
    await isErased()
    t.match(await producer.counts(), { delayed: 3 })
    t.match(await redis.command('HGET', key(jobId), 'data'), 'AAAA')
    await redis.command('ZADD', key('delayed'), 0, jobId)
    await eventually(async () => (await sql('SELECT id FROM events')).length === 3, { deadlineMs: 30_000 })
    await eventually(async () => (await producer.counts()).delayed === 1)
    t.notMatch(JSON.stringify(await everyRow(sql)), MARK)
    t.strictSame(linesOf(await verified(url)), [])
  },
)

t.test(
  'a pass in which the database failed for one job is repeated until every job is reduced',
  { buffered: true },
  async (t) => {
    const { enqueue, erase, redis, prefix, url, key } = await aPausedSystem(t)
    await enqueue([aDelivery({ id: 'evt_one', attributes: person })])
    await enqueue([aDelivery({ id: 'evt_two', attributes: person })])
    await erase()
    const errors: Error[] = []
    const consumer = createConsumer({
      redisUrl: redis.url,
      prefix,
      encryptionKeys: [],
      concurrency: 1,
      maxInFlightBytes: 1_000_000,
      maxAttempts: 1,
      handle: async () => ({ action: 'ack' }),
      onError: (error) => errors.push(error),
    })
    t.teardown(() => consumer.close({ timeoutMs: 1000 }))
    const { store } = aCountingStore(t, url)
    let outages = 2
    const work = reduceResting(consumer, {
      ...store,
      redactDelivery: async (delivery) => {
        const isOut = delivery.body.toString().includes('evt_one') && outages > 0
        if (!isOut) return await store.redactDelivery(delivery)
        outages -= 1
        throw new Error('the database is away')
      },
    })
    await t.rejects(work(), { message: 'the database is away' })
    t.equal((await redis.command('LLEN', key('wait'))) as number, 2)
    const left = (await everyKey(redis)).split(MARK).length - 1
    t.ok(left > 0, 'the job that failed is as it was')
    await t.rejects(work(), { message: 'the database is away' })
    await work()
    t.notMatch(await everyKey(redis), MARK)
    t.equal(errors.length, 2, 'each failure is reported')
  },
)
