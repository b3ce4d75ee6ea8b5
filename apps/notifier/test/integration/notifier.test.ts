import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { Webhook } from 'standardwebhooks'
import { aConsumer, aStore } from '../fixtures/a-notifier.ts'
import { aReceiver, status } from '../fixtures/a-receiver.ts'

const [redis, { url: databaseUrl, sql }] = await Promise.all([throwAwayRedis(t), throwAwayDatabase(t)])
const servers = { redisUrl: redis.url, databaseUrl }
const { store } = aStore(t, databaseUrl)
const isEmpty = async (consumer: string) =>
  (await sql('SELECT 1 FROM notifications WHERE consumer = $1', [consumer])).length === 0

/** At once, as when Redis is emptied. */
const loseKeys = async (pattern: string) =>
  await redis.command(
    'EVAL',
    `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end`,
    0,
    pattern,
  )

t.test('a change arrives once, signed, with the columns of the feed', async (t) => {
  const receiver = await aReceiver(t)
  const { consumer, start } = aConsumer(t, servers)
  const { registry } = start(receiver.url)
  await store({ id: 'inq_first', status: 'pending' })
  await eventually(() => receiver.received.length === 1)
  await store({ id: 'inq_first', status: 'approved' })
  await eventually(() => receiver.received.length === 2)
  await eventually(() => isEmpty(consumer))
  const [change] = await sql(
    `SELECT *, round(extract(epoch FROM changed_at) * 1000)::float8 AS ms FROM changes WHERE object_id = 'inq_first' AND version = 2`,
  )
  t.same(JSON.parse(receiver.received[1]?.text ?? ''), {
    type: 'inquiry.changed',
    timestamp: new Date(Number(change?.['ms'])).toISOString(),
    data: {
      id: 'inq_first',
      inquiryId: 'inq_first',
      version: 2,
      status: 'approved',
      previousStatus: 'pending',
      cause: 'event',
      eventId: change?.['event_id'],
    },
  })
  t.match(receiver.received[1]?.headers, { 'content-type': 'application/json', 'webhook-id': /^msg_[\w-]{32}$/ })
  t.not(receiver.received[0]?.id, receiver.received[1]?.id)
  t.strictSame(receiver.refused, [])
  t.match(await registry.metrics(), /^persona_notifier_requests_total\{outcome="sent"\} 2$/m)
})

t.test('a new consumer begins now, unless it asks for the start; only its families are told', async (t) => {
  const [now, all] = [await aReceiver(t), await aReceiver(t)]
  await store({ id: 'inq_before', status: 'pending' })
  aConsumer(t, servers, 'from-now').start(now.url, { NOTIFIER_FROM: 'now' })
  aConsumer(t, servers).start(all.url, { NOTIFIER_FAMILIES: 'inquiry,resource' })
  await eventually(async () => (await sql(`SELECT 1 FROM change_consumers WHERE name = 'from-now'`)).length === 1)
  await store({ id: 'cas_1', status: 'open', type: 'case' }, { id: 'inq_after', status: 'pending' })
  await eventually(() => all.versionsOf('cas_1').length === 1 && all.versionsOf('inq_before').length === 1)
  await eventually(() => now.versionsOf('inq_after').length === 1)
  t.strictSame(now.received.map(({ data }) => data.id), ['inq_after']) // prettier-ignore
  t.match(
    all.received.find(({ data }) => data.id === 'cas_1'),
    { type: 'resource.changed', data: { inquiryId: null } },
  )
})

t.test('a retry sends the newest version, and attempts of a version have one id', async (t) => {
  const receiver = await aReceiver(t, status(500))
  const { consumer, start } = aConsumer(t, servers)
  start(receiver.url)
  await store({ id: 'inq_retry', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_retry').length >= 3)
  await store({ id: 'inq_retry', status: 'approved' })
  await eventually(() => receiver.versionsOf('inq_retry').includes(2))
  receiver.answers((response) => void response.writeHead(200).end('fine'))
  await eventually(() => isEmpty(consumer))
  const versions = receiver.versionsOf('inq_retry')
  t.strictSame(
    versions,
    versions.toSorted((one, other) => one - other),
    'versions never fall',
  )
  for (const version of [1, 2]) {
    const ids = receiver.received.filter(({ data }) => data.id === 'inq_retry' && data.version === version).map(({ id }) => id) // prettier-ignore
    t.equal(new Set(ids).size, 1, `version ${version}`)
  }
})

t.test('what changes during a request follows it: one request per object at a time', async (t) => {
  const receiver = await aReceiver(t)
  const held: (() => void)[] = []
  receiver.answers((response) => void held.push(() => response.writeHead(200).end()))
  const { consumer, start } = aConsumer(t, servers)
  start(receiver.url)
  start(receiver.url)
  await store({ id: 'inq_held', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_held').length === 1)
  for (const next of ['completed', 'approved', 'declined']) await store({ id: 'inq_held', status: next })
  await eventually(async () => (await sql('SELECT version FROM notifications WHERE consumer = $1 AND object_id = $2', [consumer, 'inq_held']))[0]?.['version'] === '4') // prettier-ignore
  t.strictSame(receiver.versionsOf('inq_held'), [1])
  receiver.answers((response) => void response.writeHead(200).end())
  for (const release of held) release()
  await eventually(() => isEmpty(consumer))
  t.strictSame(receiver.versionsOf('inq_held'), [1, 4])
  t.equal(receiver.mostPerObject(), 1)
})

t.test('several processes send each version once', async (t) => {
  const receiver = await aReceiver(t)
  const { consumer, start } = aConsumer(t, servers)
  for (let count = 0; count < 3; count += 1) start(receiver.url)
  for (let round = 0; round < 5; round += 1)
    await store(...Array.from({ length: 20 }, (_, at) => ({ id: `inq_many_${at}`, status: `s${round}` })))
  await eventually(() => receiver.versionsOf('inq_many_19').at(-1) === 5)
  await eventually(() => isEmpty(consumer))
  for (let at = 0; at < 20; at += 1) {
    const versions = receiver.versionsOf(`inq_many_${at}`)
    t.equal(new Set(versions).size, versions.length, `inq_many_${at}: ${versions.join()}`)
    t.equal(versions.at(-1), 5)
  }
  t.equal(receiver.mostPerObject(), 1)
})

t.test('every secret signs, so that a rotation loses nothing', async (t) => {
  const [old, next] = ['whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC0=', 'whsec_bmV3LW5ldy1uZXctbmV3LW5ldy0=']
  const receivers = [await aReceiver(t, undefined, old), await aReceiver(t, undefined, next)]
  for (const { url } of receivers) aConsumer(t, servers).start(url, { NOTIFIER_SECRET: `${next}, ${old}` })
  await store({ id: 'inq_rotated', status: 'pending' })
  for (const { received } of receivers) await eventually(() => received.some(({ data }) => data.id === 'inq_rotated'))
  for (const { refused } of receivers) t.strictSame(refused, [])
  const [one] = receivers[0]?.received ?? []
  t.match(one?.headers['webhook-signature'], /^v1,\S+ v1,\S+$/)
  t.throws(() => new Webhook('whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXI=').verify(one?.text ?? '', one?.headers as Record<string, string>)) // prettier-ignore
})

t.test('what Redis has lost is sent all the same', async (t) => {
  const receiver = await aReceiver(t, status(503))
  const { consumer, prefix, start } = aConsumer(t, servers)
  start(receiver.url)
  await store({ id: 'inq_lost', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_lost').length > 0)
  await loseKeys(`${prefix}*`)
  receiver.answers((response) => void response.writeHead(200).end())
  await eventually(() => isEmpty(consumer))
})

t.test('a Redis that loses its locks brings no second request about an object', async (t) => {
  const receiver = await aReceiver(t)
  const held: (() => void)[] = []
  receiver.answers((response) => void held.push(() => response.writeHead(200).end()))
  const { consumer, prefix, start } = aConsumer(t, servers)
  const apps = [start(receiver.url), start(receiver.url)]
  await store({ id: 'inq_unlocked', status: 'pending' })
  await eventually(() => receiver.versionsOf('inq_unlocked').length === 1)
  await loseKeys(`${prefix}*`)
  await store({ id: 'inq_unlocked', status: 'approved' })
  await eventually(async () => (await sql('SELECT version FROM notifications WHERE consumer = $1 AND object_id = $2', [consumer, 'inq_unlocked']))[0]?.['version'] === '2') // prettier-ignore
  // Its job is taken, and finds the object claimed.
  await eventually(async () => /^persona_notifier_queue_jobs 0$/m.test((await apps[0]?.registry.metrics()) ?? ''))
  t.equal(receiver.versionsOf('inq_unlocked').length, 1)
  receiver.answers((response) => void response.writeHead(200).end())
  for (const release of held) release()
  await eventually(() => isEmpty(consumer))
  t.strictSame(receiver.versionsOf('inq_unlocked'), [1, 2])
  t.equal(receiver.mostPerObject(), 1)
})

t.test('a cursor that expired brings every row', async (t) => {
  const receiver = await aReceiver(t)
  await store({ id: 'inq_kept', status: 'pending' }, { id: 'ver_kept', status: 'passed', type: 'verification/selfie' })
  await sql(`INSERT INTO change_consumers (name, tick) VALUES ('late', 999999)`)
  const { logged, registry } = aConsumer(t, servers, 'late').start(receiver.url, {
    NOTIFIER_FAMILIES: 'inquiry,verification',
  })
  await eventually(() => receiver.versionsOf('inq_kept').length === 1 && receiver.versionsOf('ver_kept').length === 1)
  t.equal(logged('cursor expired: every row is sent, since nobody can tell what was missed').length, 1)
  t.match(await registry.metrics(), /^persona_notifier_resyncs_total 1$/m)
  await store({ id: 'inq_kept', status: 'approved' })
  await eventually(() => receiver.versionsOf('inq_kept').at(-1) === 2)
})
