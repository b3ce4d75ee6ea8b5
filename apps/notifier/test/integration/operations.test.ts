import { eventually, spawnApp, throwAwayDatabase, throwAwayRedis, freePort } from '@persona-ingest/testkit'
import t from 'tap'
import { aNotifierProcess } from '../fixtures/a-notifier-process.ts'
import { aStore } from '../fixtures/a-notifier.ts'
import { aReceiver } from '../fixtures/a-receiver.ts'

const redis = await throwAwayRedis(t)
const { url: databaseUrl, sql } = await throwAwayDatabase(t)
const addresses = { REDIS_URL: redis.url, DATABASE_URL: databaseUrl }
const { store } = aStore(t, databaseUrl)

t.test('an environment at fault is told as a whole on stderr, without values; exit code 1', async (t) => {
  const app = await spawnApp({
    entry: 'apps/notifier/src/main.ts',
    env: { NOTIFIER_URL: 'http://10.9.8.7', NOTIFIER_SECRET: 'whsec_nonsense', NOTIFIER_FAMILIES: 'people' },
  })
  t.strictSame(await app.exit, { code: 1, signal: null })
  const told = app.errorLines.join('\n')
  for (const name of ['DATABASE_URL', 'REDIS_URL', 'NOTIFIER_URL', 'NOTIFIER_SECRET', 'NOTIFIER_FAMILIES'])
    t.match(told, `${name}:`)
  t.notMatch(told, /10\.9\.8\.7|nonsense|people/)
})

t.test('variables may be given as files; livez, readyz and metrics answer on the metrics port', async (t) => {
  const receiver = await aReceiver(t)
  const folder = t.testdir({ url: `${receiver.url}\n`, database: databaseUrl })
  const app = await aNotifierProcess(t, {
    REDIS_URL: redis.url,
    DATABASE_URL_FILE: `${folder}/database`,
    NOTIFIER_URL_FILE: `${folder}/url`,
    NOTIFIER_CONSUMER: 'by-file',
  })
  t.equal((await app.get('/livez')).status, 200)
  await eventually(async () => (await app.get('/readyz')).status === 200)
  await store({ id: 'inq_file', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_file').length === 1)
  const { text } = await app.get('/metrics')
  for (const line of [
    'persona_notifier_requests_total{outcome="sent"} 1',
    'persona_notifier_redis_up 1',
    'persona_notifier_database_up 1',
    'persona_notifier_reading 1',
    'persona_notifier_changed_to_sent_seconds_count 1',
  ])
    // prettier-ignore
    t.match(text, line)
})

t.test('without PostgreSQL and Redis it waits, says so, and recovers', async (t) => {
  const [redisPort, databasePort] = await Promise.all([freePort(), freePort()])
  const receiver = await aReceiver(t)
  const app = await aNotifierProcess(t, {
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    DATABASE_URL: new URL(databaseUrl).href.replace(/:\d+\//, `:${databasePort}/`),
    NOTIFIER_URL: receiver.url,
  })
  await app.said('database does not answer, notifications wait until it does')
  await app.said('the queue of notifications is in trouble, they wait')
  const { status, text } = await app.get('/readyz')
  t.equal(status, 503)
  t.match(JSON.parse(text), { missing: ['redis', 'database'] })
  t.equal((await app.get('/livez')).status, 200)
  await throwAwayRedis(t, { port: redisPort })
  const late = await throwAwayDatabase(t, { port: databasePort })
  await aStore(t, late.url).store({ id: 'inq_late', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_late').length === 1, { deadlineMs: 40_000 })
  await eventually(async () => (await app.get('/readyz')).status === 200)
})

t.test('SIGTERM finishes the request under way, and ends with exit code 0', async (t) => {
  const receiver = await aReceiver(t)
  const held: (() => void)[] = []
  receiver.answers((response) => void held.push(() => response.writeHead(200).end()))
  const consumer = 'drained'
  const app = await aNotifierProcess(t, { ...addresses, NOTIFIER_URL: receiver.url, NOTIFIER_CONSUMER: consumer })
  await store({ id: 'inq_drain', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_drain').length === 1)
  app.signal('SIGTERM')
  await app.said('draining')
  await eventually(async () => (await app.get('/readyz')).status === 503)
  await store({ id: 'inq_drain', status: 'approved' })
  for (const release of held) release()
  t.strictSame(await app.exit, { code: 0, signal: null })
  t.match(
    await sql(`SELECT version FROM notifications WHERE consumer = $1 AND object_id = 'inq_drain'`, [consumer]),
    [],
  )
  receiver.answers((response) => void response.writeHead(200).end())
  await aNotifierProcess(t, { ...addresses, NOTIFIER_URL: receiver.url, NOTIFIER_CONSUMER: consumer })
  await eventually(() => receiver.versionsOf('inq_drain').at(-1) === 2)
  t.strictSame(receiver.versionsOf('inq_drain'), [1, 2])
})

t.test('SIGTERM interrupts what hangs, in time, and it is sent at once by the next process', async (t) => {
  const receiver = await aReceiver(t, () => undefined)
  const env = { ...addresses, NOTIFIER_URL: receiver.url, NOTIFIER_CONSUMER: 'hanging', NOTIFIER_TIMEOUT_MS: '60000' }
  const app = await aNotifierProcess(t, { ...env, DRAIN_TIMEOUT_MS: '3000' })
  await store({ id: 'inq_hang', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_hang').length === 1)
  app.signal('SIGTERM')
  t.strictSame(await app.exit, { code: 0, signal: null })
  receiver.answers((response) => void response.writeHead(200).end())
  await aNotifierProcess(t, env)
  await eventually(() => receiver.versionsOf('inq_hang').length === 2)
})
