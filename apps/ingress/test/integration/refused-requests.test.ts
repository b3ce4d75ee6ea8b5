import { throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { anEventBody, signed } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'
import { rawRequest } from '../fixtures/raw-request.ts'

const { url: redisUrl } = await throwAwayRedis(t)
const SENTENCE = 'requests refused that are no deliveries'

t.test('a delivery to a wrong path is 404, says the path, and leaves a count and a line', async (t) => {
  const { app, registry, logged, lines } = await anApp(t, { redisUrl })
  const body = anEventBody({ id: 'evt_marked' })
  const paths = ['/webhooks/persona/', '//webhooks/persona', '/webhooks//persona', '/Webhooks/persona', '/', '/marked']
  for (const url of paths) {
    const answer = await app.inject({ method: 'POST', url, payload: body, headers: signed(body) })
    t.equal(answer.statusCode, 404, url)
    t.match(answer.json(), { errors: [{ code: 'NOT_FOUND', detail: /POST \/webhooks\/persona/ }] })
    t.notMatch(answer.body, 'marked')
  }
  const counted = await registry.metrics()
  t.match(counted, `persona_ingress_refused_requests_total{reason="NOT_FOUND"} ${paths.length}`)
  t.notMatch(counted, 'marked')
  t.match(logged(SENTENCE), [{ level: 'warn', reason: 'NOT_FOUND', count: 1, expected: 'POST /webhooks/persona' }])
  t.equal(logged(SENTENCE).length, 1, 'one line for all')
  t.notMatch(lines.join(), 'marked')
})

t.test('every other refusal that is no delivery is counted and logged by its code', async (t) => {
  const { app, registry, logged } = await anApp(t, { redisUrl })
  const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
  const post = 'POST /webhooks/persona HTTP/1.1\r\nhost: x\r\n'
  const requests = {
    METHOD_NOT_ALLOWED: 'GET /webhooks/persona HTTP/1.1\r\nhost: x\r\n\r\n',
    NOT_FOUND: 'CONNECT marked-value:443 HTTP/1.1\r\nhost: marked-value:443\r\n\r\n',
    REQUEST_MALFORMED: 'marked-value\r\n\r\n',
    HEADERS_TOO_LARGE: `${post}x: ${'marked-value'.repeat(2000)}\r\n\r\n`,
  }
  for (const [code, bytes] of Object.entries(requests)) {
    const answer = await rawRequest(port, bytes, /\}$/)
    t.match(answer, `"code":"${code}"`)
    t.notMatch(answer, 'marked-value')
    t.match(await registry.metrics(), `persona_ingress_refused_requests_total{reason="${code}"} 1`)
    t.match(logged(SENTENCE).at(-1), { reason: code, count: 1 })
  }
  await rawRequest(port, 'POST /%zz HTTP/1.1\r\nhost: x\r\n\r\n', /\}$/)
  t.match(await registry.metrics(), `persona_ingress_refused_requests_total{reason="REQUEST_MALFORMED"} 2`)
})

t.test('a refused delivery is counted as a delivery alone, a probe not at all', async (t) => {
  const { app, registry, deliver } = await anApp(t, { redisUrl })
  t.equal((await deliver({ secrets: ['wbhsec_of-another'] })).status, 401)
  await app.inject('/livez')
  t.notMatch(await registry.metrics(), 'persona_ingress_refused_requests_total{')
})
