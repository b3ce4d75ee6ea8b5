import { listFailedNotifications, resendNotifications } from '@persona-ingest/database'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aConsumer, aStore, FAST } from '../fixtures/a-notifier.ts'
import { aReceiver, ok, status } from '../fixtures/a-receiver.ts'

const [redis, { url: databaseUrl, sql, server }] = await Promise.all([throwAwayRedis(t), throwAwayDatabase(t)])
const servers = { redisUrl: redis.url, databaseUrl }
const { database, store } = aStore(t, databaseUrl)
const isEmpty = async (consumer: string) =>
  (await sql('SELECT 1 FROM notifications WHERE consumer = $1', [consumer])).length === 0

t.test(
  'what is given up is listed, counted and told; it goes out again on request or with its next change',
  async (t) => {
    const receiver = await aReceiver(t, status(404))
    const { consumer, start } = aConsumer(t, servers)
    const { registry, logged } = start(receiver.url, {}, { schedule: { ...FAST, giveUpAfterMs: 500 } })
    await store({ id: 'inq_up_1', status: 'pending' }, { id: 'inq_up_2', status: 'pending' })
    const failed = async () => (await listFailedNotifications(database, { consumer, limit: 10 })).failed
    await eventually(async () => (await failed()).length === 2)
    t.match((await failed())[0], { last_error: 'ENDPOINT_REJECTED', last_status: 404, version: 1 })
    const metrics = await registry.metrics()
    t.match(metrics, /^persona_notifier_notifications\{state="failed"\} 2$/m)
    t.match(metrics, /^persona_notifier_given_up_total 2$/m)
    t.match(metrics, /^persona_notifier_requests_total\{outcome="ENDPOINT_REJECTED"\} [1-9]/m)
    t.equal(logged('notification given up: see ops changes failed').length, 2)
    t.match(logged('notifications fail, they are repeated')[0], {
      code: 'ENDPOINT_REJECTED',
      detail: '404',
      level: 'warn',
    })
    const requests = receiver.received.length
    receiver.answers(ok)
    await resendNotifications(database, { consumer, selection: { objectIds: ['inq_up_1'] } })
    await eventually(async () => (await failed()).length === 1)
    await eventually(() => receiver.received.length === requests + 1)
    await store({ id: 'inq_up_2', status: 'approved' })
    await eventually(() => isEmpty(consumer))
    t.strictSame(receiver.versionsOf('inq_up_2').at(-1), 2)
  },
)

t.test('each way to fail has its code in the metric and in the row, and nothing of the answer', async (t) => {
  const PRIVATE = 'PRIVATE_TEXT_OF_AN_ANSWER'
  const receiver = await aReceiver(t)
  const answers: Readonly<Record<string, (url: string) => void>> = {
    ENDPOINT_REDIRECTED: () =>
      receiver.answers(
        (response) => void response.writeHead(302, { location: `${receiver.url}/${PRIVATE}` }).end(PRIVATE),
      ),
    ENDPOINT_FAILED: () => receiver.answers((response) => void response.writeHead(500, PRIVATE).end(PRIVATE)),
    ENDPOINT_TIMEOUT: () => receiver.answers(() => undefined),
    ENDPOINT_UNREACHABLE: () => receiver.answers((response) => void response.destroy()),
  }
  const { consumer, start } = aConsumer(t, servers)
  const { registry, lines } = start(receiver.url, { NOTIFIER_TIMEOUT_MS: '300' })
  for (const [code, answer] of Object.entries(answers)) {
    answer(receiver.url)
    await store({ id: `inq_${code}`, status: 'pending' })
    await eventually(async () => (await sql('SELECT last_error FROM notifications WHERE consumer = $1 AND object_id = $2', [consumer, `inq_${code}`]))[0]?.['last_error'] === code) // prettier-ignore
    t.match(await registry.metrics(), new RegExp(`^persona_notifier_requests_total\\{outcome="${code}"\\} [1-9]`, 'm'))
    t.ok(
      lines.some((line) => line.includes('"warn"') && line.includes(code)),
      `${code} is logged`,
    )
  }
  t.notMatch(lines.join('\n'), PRIVATE)
  receiver.answers(ok)
  await eventually(() => isEmpty(consumer))
})

t.test('a name that resolves to a private address is refused, again and again', async (t) => {
  const { consumer, start } = aConsumer(t, servers)
  let asked = 0
  start('https://hooks.example/', {}, {
    resolve: (_, __, callback) => {
      asked += 1
      callback(null, [{ address: '169.254.169.254', family: 4 }])
    },
  }) // prettier-ignore
  await store({ id: 'inq_name', status: 'pending' })
  await eventually(async () => Number((await sql(`SELECT attempts FROM notifications WHERE consumer = $1 AND object_id = 'inq_name'`, [consumer]))[0]?.['attempts']) >= 2) // prettier-ignore
  t.match(
    await sql(`SELECT last_error FROM notifications WHERE consumer = $1 AND object_id = 'inq_name'`, [consumer]),
    [{ last_error: 'ENDPOINT_ADDRESS_REFUSED' }],
  )
  t.ok(asked >= 2)
})

t.test('a failing object holds up no other, and a dead endpoint puts little into Redis', async (t) => {
  const receiver = await aReceiver(t, (response, { data }) => {
    response.writeHead(data.id === 'inq_bad' ? 500 : 200).end()
  })
  const { start } = aConsumer(t, servers)
  start(receiver.url, { NOTIFIER_CONCURRENCY: '1' })
  await store({ id: 'inq_bad', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_bad').length >= 1)
  await store({ id: 'inq_good', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_good').length === 1)

  const dead = aConsumer(t, servers)
  await sql(
    `INSERT INTO notifications (consumer, object_id, version, family, cause, changed_at)
     SELECT $1, 'inq_dead_' || i, 1, 'inquiry', 'event', now() FROM generate_series(1, 5000) i`,
    [dead.consumer],
  )
  const { registry } = dead.start('http://127.0.0.1:9/', { NOTIFIER_CONCURRENCY: '1' })
  await eventually(async () => /^persona_notifier_queue_jobs [1-9]/m.test(await registry.metrics()))
  for (let round = 0; round < 3; round += 1) {
    const jobs = Number(/^persona_notifier_queue_jobs (\d+)$/m.exec(await registry.metrics())?.[1])
    t.ok(jobs <= 1_010, `${jobs} jobs`)
  }
})

t.test('an outage of PostgreSQL or Redis costs time only', async (t) => {
  const receiver = await aReceiver(t)
  const { consumer, start } = aConsumer(t, servers)
  const { logged, notifier } = start(receiver.url)
  await store({ id: 'inq_out', status: 'one' })
  await eventually(() => receiver.versionsOf('inq_out').length === 1)
  await server.kill()
  await eventually(async () => (await notifier.readiness.missing()).includes('database'))
  await eventually(() => logged('database does not answer, notifications wait until it does').length === 1)
  await server.restart()
  await eventually(async () => store({ id: 'inq_out', status: 'two' }).then(() => true))
  await eventually(() => receiver.versionsOf('inq_out').at(-1) === 2, { deadlineMs: 30_000 })
  await redis.kill()
  await store({ id: 'inq_out', status: 'three' })
  await eventually(async () => (await notifier.readiness.missing()).includes('redis'))
  await redis.restart()
  await eventually(() => receiver.versionsOf('inq_out').at(-1) === 3, { deadlineMs: 30_000 })
  await eventually(() => isEmpty(consumer))
  t.strictSame(receiver.versionsOf('inq_out'), [1, 2, 3])
  await eventually(async () => (await notifier.readiness.missing()).length === 0)
})

t.test('a 2xx during an outage of PostgreSQL is not sent again', async (t) => {
  const receiver = await aReceiver(t)
  const held: (() => void)[] = []
  receiver.answers((response) => void held.push(() => response.writeHead(200).end()))
  const { consumer, start } = aConsumer(t, servers)
  const { logged } = start(receiver.url, { NOTIFIER_FROM: 'now' })
  await eventually(async () => (await sql('SELECT 1 FROM change_consumers WHERE name = $1', [consumer])).length === 1)
  await store({ id: 'inq_unsettled', status: 'pending' })
  await eventually(() => held.length === 1)
  await server.kill()
  for (const release of held) release()
  await eventually(() => logged('database does not answer, notifications wait until it does').length === 1)
  await server.restart()
  await eventually(() => isEmpty(consumer), { deadlineMs: 30_000 })
  t.strictSame(receiver.versionsOf('inq_unsettled'), [1])
})

t.test('objects that a dead endpoint has kept waiting all arrive once it answers', async (t) => {
  const receiver = await aReceiver(t, status(503))
  const { consumer, start } = aConsumer(t, servers)
  await sql(
    `INSERT INTO notifications (consumer, object_id, version, family, cause, changed_at)
     SELECT $1, 'inq_waits_' || i, 1, 'inquiry', 'event', now() FROM generate_series(1, 300) i`,
    [consumer],
  )
  start(receiver.url)
  await eventually(() => receiver.received.length > 60)
  receiver.answers(ok)
  await eventually(() => isEmpty(consumer))
  const arrived = new Set(receiver.received.map(({ data }) => data.id).filter((id) => id.startsWith('inq_waits_')))
  t.equal(arrived.size, 300)
})
