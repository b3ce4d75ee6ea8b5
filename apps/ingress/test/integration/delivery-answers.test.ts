import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody, PRODUCTION_SECRET, SANDBOX_SECRET, signed } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'
import { rawRequest } from '../fixtures/raw-request.ts'

const redis = await throwAwayRedis(t)
const redisUrl = redis.url

t.test('a usable event is accepted and in the queue, byte for byte', async (t) => {
  const { deliver, queued, logged } = await anApp(t, { redisUrl })
  const body = Buffer.from(`\n ${anEventBody({ id: 'evt_1', extra: { 'name-first': 'Zoë' } }).toString()} \n`)
  const beforeMs = Date.now()
  const answer = await deliver({ body })
  t.equal(answer.status, 200)
  t.equal(answer.text, '{"status":"accepted","eventId":"evt_1"}')
  t.match(answer.headers['content-type'], /^application\/json/)
  const [held] = await queued(1)
  t.match(held, { kind: 'event', eventId: 'evt_1', environment: 'production' })
  t.same(Buffer.from(held?.body ?? []), body)
  t.ok((held?.receivedAtMs ?? 0) >= beforeMs && (held?.receivedAtMs ?? 0) <= Date.now())
  const [line] = logged('delivery answered')
  t.match(line, { level: 'info', eventId: 'evt_1', environment: 'production', outcome: 'accepted', reason: null })
  t.equal(line?.['requestId'], held?.requestId, 'one id binds both stages')
})

t.test('a duplicate is accepted and adds nothing', async (t) => {
  const { deliver, queued } = await anApp(t, { redisUrl })
  for (let i = 0; i < 3; i += 1) t.equal((await deliver()).text, '{"status":"accepted","eventId":"evt_1"}')
  t.equal((await queued(1)).length, 1)
})

t.test('the list that matches tells the environment; a rotation matches in any group', async (t) => {
  const env = { PERSONA_WEBHOOK_SECRETS: `wbhsec_00000000-new, ${PRODUCTION_SECRET}` }
  const { deliver, queued } = await anApp(t, { redisUrl, env })
  const deliveries = [
    { id: 'evt_old', secrets: [PRODUCTION_SECRET], environment: 'production' },
    { id: 'evt_new', secrets: ['wbhsec_00000000-new'], environment: 'production' },
    { id: 'evt_first_group', secrets: [PRODUCTION_SECRET, 'wbhsec_unknown'], environment: 'production' },
    { id: 'evt_second_group', secrets: ['wbhsec_unknown', 'wbhsec_00000000-new'], environment: 'production' },
    { id: 'evt_sandbox', secrets: [SANDBOX_SECRET], environment: 'sandbox' },
    { id: 'evt_sandbox_second', secrets: ['wbhsec_unknown', SANDBOX_SECRET], environment: 'sandbox' },
  ]
  for (const { id, secrets } of deliveries)
    t.equal((await deliver({ body: anEventBody({ id }), secrets })).status, 200, id)
  const found = new Map((await queued(deliveries.length)).map((held) => [held.eventId, held.environment]))
  for (const { id, environment } of deliveries) t.equal(found.get(id), environment, id)
})

t.test('authentic but unusable bodies are kept with their reason before the 200', async (t) => {
  const { deliver, queued } = await anApp(t, { redisUrl })
  const bodies = [
    ['', 'INVALID_JSON'],
    ['{"data":', 'INVALID_JSON'],
    ['[]', 'NOT_AN_OBJECT'],
    [`{"data":{"id":"evt_deep"},"x":${'['.repeat(1_000)}${']'.repeat(1_000)}}`, 'NESTING_TOO_DEEP'],
    ['{}', 'EVENT_ID_INVALID'],
    [anEventBody({ id: 'evt:1' }).toString(), 'EVENT_ID_INVALID'],
    ['{"data":{"id":"evt_unnamed"}}', 'EVENT_NAME_INVALID'],
  ] as const
  for (const [text, reason] of bodies) {
    const answer = await deliver({ body: Buffer.from(text) })
    t.equal(answer.status, 200)
    t.equal(answer.text, `{"status":"quarantined","reason":"${reason}"}`)
  }
  const held = await queued(bodies.length)
  for (const [text, reason] of bodies) {
    const kept = held.find((one) => Buffer.from(one.body).toString() === text)
    t.match(kept, { kind: 'quarantined', reason }, text)
  }
  t.equal(held.find((one) => one.eventId === 'evt_unnamed')?.kind, 'quarantined')
})

t.test('bytes that are no UTF-8 are kept as they came', async (t) => {
  const { deliver, queued } = await anApp(t, { redisUrl })
  const body = Buffer.from([0xff, 0x00, 0x7b, 0xc3])
  t.equal((await deliver({ body })).json.reason, 'INVALID_JSON')
  t.same(Buffer.from((await queued(1))[0]?.body ?? []), body)
})

t.test('every refusal has its status, code and form', async (t) => {
  const { deliver, logged } = await anApp(t, { redisUrl, env: { BODY_LIMIT_BYTES: '1000' } })
  const body = anEventBody()
  const valid = signed(body)
  const signature = valid['persona-signature'] ?? ''
  const cases = [
    ['415', 'CONTENT_TYPE_UNSUPPORTED', { headers: { 'content-type': 'text/plain' } }],
    ['415', 'CONTENT_TYPE_UNSUPPORTED', { headers: { 'content-type': 'application/json2' } }],
    ['413', 'BODY_TOO_LARGE', { body: Buffer.alloc(1001, ' ') }],
    ['401', 'SIGNATURE_MISSING', { headers: { 'persona-signature': '' } }],
    ['401', 'SIGNATURE_MALFORMED', { headers: { 'persona-signature': 'v1=abc' } }],
    ['401', 'SIGNATURE_MISMATCH', { secrets: ['wbhsec_unknown'] }],
    [
      '401',
      'SIGNATURE_MISMATCH',
      { headers: { 'persona-signature': signature.replace(/[0-9a-f]{64}$/, 'a'.repeat(64)) } },
    ],
    ['401', 'SIGNATURE_TOO_OLD', { headers: signed(body, { ageSeconds: 518_500 }) }],
    ['401', 'SIGNATURE_IN_FUTURE', { headers: signed(body, { ageSeconds: -400 }) }],
  ] as const
  for (const [status, code, request] of cases) {
    const answer = await deliver({
      ...request,
      secrets: [...('secrets' in request ? request.secrets : [PRODUCTION_SECRET])],
    })
    t.equal(answer.status, Number(status), code)
    t.equal(answer.headers['content-type'], 'application/vnd.api+json')
    t.match(answer.json.errors, [{ status, code, title: /./, detail: /./ }])
    t.match(logged('delivery answered').at(-1), { level: 'debug', outcome: 'refused', reason: code, eventId: null })
  }
  t.equal(
    logged('deliveries refused').filter((line) => line['reason'] === 'SIGNATURE_MISMATCH').length,
    1,
    'one summary',
  )
})

t.test('both media types pass, with any parameters and in any case', async (t) => {
  const { deliver } = await anApp(t, { redisUrl })
  const types = [
    'application/json',
    'Application/JSON;charset=utf-8',
    'application/vnd.api+json',
    'application/vnd.api+json; x',
  ]
  for (const type of types) t.equal((await deliver({ headers: { 'content-type': type } })).status, 200, type)
})

t.test('the tolerance is a setting and lets late retries in by default', async (t) => {
  const body = anEventBody()
  const late = { body, headers: signed(body, { ageSeconds: 500_000 }) }
  t.equal((await (await anApp(t, { redisUrl })).deliver(late)).status, 200)
  const strict = await anApp(t, { redisUrl, env: { SIGNATURE_TOLERANCE_SECONDS: '300' } })
  t.equal((await strict.deliver(late)).json.errors?.[0]?.code, 'SIGNATURE_TOO_OLD')
})

// @see docs/contract.md#2-http-the-ingress
t.test('the checks come in the documented order', async (t) => {
  const env = { BODY_LIMIT_BYTES: '1000', IP_ALLOWLIST: '192.0.2.1', MAX_BACKLOG: '1' }
  const { deliver, app } = await anApp(t, { redisUrl, env })
  const large = Buffer.alloc(1001, '{')
  const everything = {
    body: large,
    headers: { 'content-type': 'text/plain', 'persona-signature': 'x' },
    remoteAddress: '192.0.2.2',
  }
  app.readiness.beginShutdown()
  const codeOf = async (request: object) => (await deliver(request)).json.errors?.[0]?.code
  t.equal(await codeOf(everything), 'ADDRESS_NOT_ALLOWED')
  const listed = { ...everything, remoteAddress: '192.0.2.1' }
  t.equal(await codeOf(listed), 'CONTENT_TYPE_UNSUPPORTED')
  t.equal(
    await codeOf({ ...listed, headers: { ...listed.headers, 'content-type': 'application/json' } }),
    'BODY_TOO_LARGE',
  )
  const small = { ...listed, body: Buffer.from('{') }
  t.equal(await codeOf({ ...small, headers: { 'persona-signature': 'x' } }), 'SIGNATURE_MALFORMED')
  t.equal(await codeOf({ ...small, headers: {} }), 'DRAINING', 'before an unusable body is answered with 200')
})

t.test('a missing content type is 415 even without a body', async (t) => {
  const { app } = await anApp(t, { redisUrl })
  const answer = await app.inject({ method: 'POST', url: '/webhooks/persona' })
  t.equal(answer.statusCode, 415)
})

t.test('the allowlist judges the address that TRUST_PROXY lets it see', async (t) => {
  const statusOf = async (env: Record<string, string>, forwarded?: string, remoteAddress = '127.0.0.1') => {
    const { deliver } = await anApp(t, { redisUrl, env: { IP_ALLOWLIST: '203.0.113.0/24,2001:db8::/32', ...env } })
    const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
    return (await deliver({ headers, remoteAddress })).status
  }
  t.equal(await statusOf({}), 403)
  t.equal(await statusOf({}, undefined, '203.0.113.9'), 200)
  t.equal(await statusOf({}, undefined, '::ffff:203.0.113.9'), 200)
  t.equal(await statusOf({}, undefined, '2001:db8::7'), 200)
  t.equal(await statusOf({}, '203.0.113.9'), 403, 'a forged header without a trusted proxy')
  t.equal(await statusOf({ TRUST_PROXY: 'true' }, '203.0.113.9, 10.0.0.1'), 200)
  t.equal(await statusOf({ TRUST_PROXY: '1' }, '203.0.113.9'), 200)
  t.equal(await statusOf({ TRUST_PROXY: '1' }, '203.0.113.9, 198.51.100.1'), 403, 'only one hop is believed')
  t.equal(await statusOf({ TRUST_PROXY: '2' }, '203.0.113.9, 198.51.100.1'), 200)
  t.equal(await statusOf({ TRUST_PROXY: 'loopback' }, '203.0.113.9'), 200)
  t.equal(await statusOf({ TRUST_PROXY: '10.0.0.0/8' }, '203.0.113.9'), 403, 'the proxy is not in the list')
  t.equal(await statusOf({ TRUST_PROXY: 'true' }, 'unknown'), 403)
  t.equal(await statusOf({ TRUST_PROXY: 'true', IP_ALLOWLIST: '' }, 'unknown'), 200, 'no list, no check')
})

t.test('over the backlog limit deliveries are refused, unusable ones too, and taken again below it', async (t) => {
  const { deliver, queued } = await anApp(t, { redisUrl, env: { MAX_BACKLOG: '2' } })
  for (const id of ['evt_1', 'evt_2', 'evt_3']) t.equal((await deliver({ body: anEventBody({ id }) })).status, 200)
  await eventually(async () => (await deliver()).status === 503)
  const refused = await deliver()
  t.match(refused.json.errors, [{ status: '503', code: 'BACKLOG_EXCEEDED' }])
  t.match(refused.headers['retry-after'], /^\d+$/)
  t.equal((await deliver({ body: Buffer.from('not json') })).status, 503)
  await queued(3)
  await eventually(async () => (await deliver({ body: anEventBody({ id: 'evt_4' }) })).status === 200)
})

t.test('unknown paths are 404 and other methods 405, whatever they bring', async (t) => {
  const { app } = await anApp(t, { redisUrl })
  const codeOf = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS', url: string, payload?: string) => {
    const headers = { 'content-type': 'text/plain; marked-value' }
    const answer = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) })
    t.notMatch(answer.body, 'marked-value')
    t.equal(answer.headers['content-type'], 'application/vnd.api+json')
    return [answer.statusCode, answer.json<{ errors: { code: string }[] }>().errors[0]?.code, answer.headers.allow]
  }
  t.same(await codeOf('GET', '/'), [404, 'NOT_FOUND', undefined])
  t.same(await codeOf('POST', '/marked-value?marked-value', 'marked-value'), [404, 'NOT_FOUND', undefined])
  t.same(await codeOf('GET', '/metrics'), [404, 'NOT_FOUND', undefined])
  t.same(await codeOf('GET', '/webhooks/persona'), [405, 'METHOD_NOT_ALLOWED', 'POST'])
  t.same(await codeOf('PUT', '/webhooks/persona?x', 'marked-value'), [405, 'METHOD_NOT_ALLOWED', 'POST'])
  t.same(await codeOf('OPTIONS', '/webhooks/persona'), [405, 'METHOD_NOT_ALLOWED', 'POST'])
  t.same(await codeOf('POST', '/livez', 'x'.repeat(3_000_000)), [405, 'METHOD_NOT_ALLOWED', 'GET, HEAD'])
  t.same(await codeOf('DELETE', '/readyz'), [405, 'METHOD_NOT_ALLOWED', 'GET, HEAD'])
  t.same(await codeOf('GET', '/%zz-marked-value'), [400, 'REQUEST_MALFORMED', undefined])
})

t.test('on a real socket, the limits of HTTP answer in the same form', async (t) => {
  const { app, logged, deliver } = await anApp(t, { redisUrl, env: { BODY_LIMIT_BYTES: '100000' } })
  const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
  const post = 'POST /webhooks/persona HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
  const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
  const cases = [
    ['REQUEST_MALFORMED', 400, 'marked-value\r\n\r\n'],
    ['REQUEST_MALFORMED', 400, `${post}transfer-encoding: chunked\r\n\r\nmarked-value\r\n`],
    ['HEADERS_TOO_LARGE', 431, `${post}x: ${'marked-value'.repeat(2000)}\r\n\r\n`],
    ['BODY_TOO_LARGE', 413, `${post}transfer-encoding: chunked\r\n\r\n${chunk.repeat(50)}0\r\n\r\n`],
    ['BODY_TOO_LARGE', 413, `${post}content-length: 200000\r\n\r\n${'x'.repeat(200_000)}`],
    ['SIGNATURE_MISSING', 401, `${post}content-length: 1\r\n\r\nx`],
  ] as const
  for (const [code, status, bytes] of cases) {
    const answer = await rawRequest(port, bytes, /\}$/)
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), code)
    t.match(answer, new RegExp(`"code":"${code}"`))
    t.match(answer, /content-type: application\/vnd\.api\+json\r\n/)
    t.notMatch(answer, 'marked-value')
  }
  const gone = connect({ port, host: '127.0.0.1' })
  gone.write(`${post}content-length: 10\r\n\r\nmarked`)
  await once(gone, 'connect')
  await eventually(async () => (await deliver()).status === 200)
  gone.destroy()
  await eventually(() => logged('delivery answered').some((line) => line['reason'] === 'REQUEST_INCOMPLETE'))
})

t.test(
  'a body over the limit is answered, not reset: a client that reads only after writing sees the 413',
  async (t) => {
    const { app } = await anApp(t, { redisUrl })
    const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
    const post = 'POST /webhooks/persona HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
    const size = 16 * 1024 * 1024
    const bodies = [
      `content-length: ${size}\r\n\r\n${'x'.repeat(size)}`,
      `transfer-encoding: chunked\r\n\r\n${size.toString(16)}\r\n${'x'.repeat(size)}\r\n0\r\n\r\n`,
    ]
    for (const body of bodies) {
      const socket = connect({ port, host: '127.0.0.1' })
      t.teardown(() => socket.destroy())
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject)
        socket.once('close', () => reject(new Error('closed before everything was written')))
        socket.write(post + body, () => resolve())
      })
      const [answer] = (await once(socket, 'data')) as [Buffer]
      t.match(answer.toString(), /^HTTP\/1\.1 413 /)
    }
  },
)

t.test('a body exactly at the limit passes', async (t) => {
  const { deliver } = await anApp(t, { redisUrl, env: { BODY_LIMIT_BYTES: '1000' } })
  const event = anEventBody()
  const body = Buffer.concat([event, Buffer.alloc(1000 - event.length, ' ')])
  t.equal((await deliver({ body })).status, 200)
})

t.test('a body that drips is ended after 10 s with 408', async (t) => {
  const { app } = await anApp(t, { redisUrl })
  const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
  const socket = connect({ port, host: '127.0.0.1' })
  let answer = ''
  socket.on('data', (chunk) => (answer += String(chunk)))
  socket.on('error', () => {})
  const startedAt = performance.now()
  socket.write(
    'POST /webhooks/persona HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n',
  )
  const drip = setInterval(() => socket.write(' '), 200)
  t.teardown(() => clearInterval(drip))
  await once(socket, 'close')
  const tookMs = performance.now() - startedAt
  t.ok(tookMs > 9000 && tookMs < 13_000, `${tookMs} ms`)
  t.match(answer, /^HTTP\/1\.1 408 .*REQUEST_TIMEOUT/s)
})
