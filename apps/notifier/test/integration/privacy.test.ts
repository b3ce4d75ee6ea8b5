import { makeChangeTick, openDatabase, storeEvents } from '@persona-ingest/database'
import { readEvent } from '@persona-ingest/persona'
import { eventually, everyKey, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import { anEvent, anObject, bodyOf } from '@persona-ingest/testkit/events'
import t from 'tap'
import { aNotifierProcess } from '../fixtures/a-notifier-process.ts'
import { aReceiver, ok, SECRET, status } from '../fixtures/a-receiver.ts'

const MARK = 'Marked-Person'
const person = {
  status: 'approved',
  'name-first': MARK,
  'reference-id': `${MARK}-reference`,
  tags: [MARK],
  [`${MARK}-key`]: 1,
  fields: { [MARK]: { type: 'string', value: MARK } },
}
const included = [
  anObject('verification/selfie', 'ver_1', { attributes: { 'country-code': MARK, checks: [{ name: MARK }] } }),
]

t.test('no value of a person is in the table, in Redis, in a log line, a metric or a request', async (t) => {
  const redis = await throwAwayRedis(t)
  const { url, sql, server } = await throwAwayDatabase(t)
  const receiver = await aReceiver(t, status(500))
  const database = openDatabase({ url, encryptionKeys: [] })
  t.teardown(() => database.close())
  const app = await aNotifierProcess(t, {
    REDIS_URL: redis.url,
    DATABASE_URL: url,
    NOTIFIER_URL: receiver.url,
    NOTIFIER_FAMILIES: 'inquiry,verification,resource',
    LOG_LEVEL: 'trace',
  })
  const data = anObject('inquiry', 'inq_1', { attributes: person })
  const body = bodyOf(anEvent({ name: `inquiry.${MARK}`, data, included }))
  t.match(body.toString(), MARK)
  await storeEvents(database, [readEvent({ body, environment: 'production', receivedAtMs: Date.now() })])
  await eventually(async () => (await makeChangeTick(database)) === 'ticked')
  await eventually(() => receiver.received.length >= 2)
  const stored: unknown[] = await sql('SELECT notifications::text FROM notifications')
  t.equal(stored.length, 2)
  await server.kill()
  await app.said('database does not answer, notifications wait until it does')
  await server.restart()
  const keys = await everyKey(redis)
  t.match(keys, 'persona:notify:notifier:')
  receiver.answers(ok)
  await eventually(async () => (await sql('SELECT 1 FROM notifications')).length === 0, { deadlineMs: 30_000 })
  const metrics = (await app.get('/metrics')).text
  app.signal('SIGTERM')
  await app.exit
  const requests = receiver.received.map(({ text, headers }) => JSON.stringify([text, headers]))
  const output = [...app.lines, ...app.errorLines, metrics, ...requests, JSON.stringify(stored), keys].join('\n')
  t.match(output, 'inq_1', 'ids are told')
  for (const mark of [
    MARK,
    MARK.toLowerCase(),
    Buffer.from(MARK).toString('base64').slice(0, 15),
    encodeURIComponent(MARK),
  ])
    // prettier-ignore
    t.notMatch(output, mark)
  const logged = [...app.lines, ...app.errorLines].join('\n')
  t.notMatch(logged, SECRET.slice('whsec_'.length), 'nor the secret')
  t.notMatch(logged, /v1,/, 'nor a signature')
  t.notMatch(logged, receiver.url, 'nor the URL, which may hold a token')
})
