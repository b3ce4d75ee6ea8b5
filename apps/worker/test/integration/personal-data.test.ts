import { Deadline } from '@persona-ingest/core'
import { createProducer } from '@persona-ingest/queue'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aWorkerProcess } from '../fixtures/a-worker-process.ts'
import { aDelivery, POISON } from '../fixtures/an-event.ts'

const redis = await throwAwayRedis(t)
const { url, sql, server } = await throwAwayDatabase(t)
const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
t.teardown(() => producer.close())

const MARK = 'Marked-Person'
const person = {
  'name-first': MARK,
  'reference-id': `${MARK}-reference`,
  tags: [MARK],
  status: MARK,
  [`${MARK}-key`]: 1,
  fields: { [MARK]: { type: 'string', value: MARK } },
}
const included = [
  { type: `verification/${MARK}`, id: 'ver_1', attributes: { 'country-code': MARK, checks: [{ name: MARK }] } },
]

t.test('no log line and no metric holds a value of a person, at the lowest level and on every way', async (t) => {
  // Stored, refused, failing, unreadable, quarantined, redacted, a duplicate; then the same during an outage.
  await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 'evt_failing' THEN RAISE EXCEPTION 'refused %', NEW.payload; END IF; RETURN NEW; END $$`)
  await sql('CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()')
  const app = await aWorkerProcess(t, {
    REDIS_URL: redis.url,
    DATABASE_URL: url,
    LOG_LEVEL: 'trace',
    MAX_ATTEMPTS: '2',
  })
  const about = { attributes: person, included }
  const quarantined = {
    kind: 'quarantined', reason: 'INVALID_JSON', eventId: null, environment: 'production', receivedAtMs: Date.now(),
    body: Buffer.from(`{"${MARK}`),
  } as const // prettier-ignore
  const nested = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  for (const delivery of [
    aDelivery({ id: 'evt_stored', ...about }),
    aDelivery({ id: 'evt_refused', raw: POISON, ...about }),
    aDelivery({ id: 'evt_failing', ...about }),
    aDelivery({ id: 'evt_nested', raw: nested, ...about }),
    { ...aDelivery({ id: 'evt_cut' }), body: Buffer.from(`{"data": "${MARK}"`) },
    quarantined,
  ])
    await producer.enqueue(delivery, new Deadline(5000))
  await eventually(async () => (await sql('SELECT 1 FROM dead_letters')).length === 5, { deadlineMs: 20_000 })
  await producer.enqueue(aDelivery({ id: 'evt_stored', ...about }), new Deadline(5000))
  await eventually(() => app.lines.some((line) => line.includes('"duplicate"')))
  await server.kill()
  await producer.enqueue(aDelivery({ id: 'evt_outage', name: 'inquiry.redacted', ...about }), new Deadline(5000))
  await app.said('database takes no writes, holding deliveries until it does')
  await server.restart()
  await app.said('database takes writes again')
  await eventually(async () => (await sql('SELECT 1 FROM events')).length === 2, { deadlineMs: 20_000 })

  const metrics = (await app.get('/metrics')).text
  t.match(metrics, 'persona_worker_dead_letters_open')
  app.signal('SIGTERM')
  await app.exit
  const output = [...app.lines, ...app.errorLines, metrics].join('\n')
  t.ok(app.lines.length > 10)
  for (const mark of [
    MARK,
    encodeURIComponent(MARK),
    Buffer.from(MARK).toString('base64').slice(0, 15),
    MARK.toLowerCase(),
  ])
    t.notMatch(output, mark)
  for (const eventId of ['evt_stored', 'evt_refused', 'evt_failing', 'evt_nested', 'evt_cut', 'evt_outage'])
    t.match(output, eventId, 'which tells of each event')
})

t.test('nor does Redis keep one once a delivery is finished, or an error text of PostgreSQL', async (t) => {
  const dump: unknown[] = []
  for (const key of (await redis.command('KEYS', '*')) as string[]) {
    const type = await redis.command('TYPE', key)
    if (type === 'hash') dump.push(key, await redis.command('HGETALL', key))
    else if (type === 'stream') dump.push(key, await redis.command('XRANGE', key, '-', '+'))
    else if (type === 'string') dump.push(key, await redis.command('GET', key))
    else dump.push(key, type)
  }
  t.ok(dump.length > 0)
  t.notMatch(JSON.stringify(dump), MARK)
})
