import { randomBytes } from 'node:crypto'
import { everyKey, everyRow, eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { linesOf, verified } from '../../../../packages/database/test/fixtures/rebuilt.ts'
import { aQueue } from '../fixtures/a-worker.ts'
import { aDelivery } from '../fixtures/an-event.ts'

const MARK = 'Marked-Person-Zoe'
const person = { 'name-first': MARK, fields: { first: { type: 'string', value: MARK } } }

t.test('a job that rests before its next try is reduced when a redaction comes, and stored reduced', async (t) => {
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
})
