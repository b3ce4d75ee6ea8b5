import t from 'tap'
import { throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody, signed } from '../fixtures/a-delivery.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'
import { anNginx, noNginx } from '../fixtures/an-nginx.ts'

const skip = await noNginx()
const JSON_TYPE = { 'content-type': 'application/vnd.api+json' }

t.test('deliveries over TLS, through the nginx of deploy/nginx, to two ingress processes', { skip }, async (t) => {
  const redis = await throwAwayRedis(t)
  const env = { REDIS_URL: redis.url, TRUST_PROXY: '127.0.0.1', IP_ALLOWLIST: '127.0.0.1' }
  const [first, second] = await Promise.all([anIngressProcess(t, env), anIngressProcess(t, env)])
  const nginx = await anNginx(t, [first.port, second.port])
  const deliver = async (id: string, headers: Readonly<Record<string, string>> = {}) => {
    const body = anEventBody({ id })
    return nginx.post(body, { ...JSON_TYPE, ...signed(body), ...headers })
  }
  for (let count = 0; count < 6; count += 1) t.match(await deliver(`evt_${count}`), { status: 200, text: /accepted/ })
  const handled = (ingress: typeof first) => ingress.spawned.lines.filter((line) => line.includes('evt_')).length
  t.ok(handled(first) > 0 && handled(second) > 0, 'both had some')

  const large = anEventBody({ id: 'evt_large', extra: { note: 'x'.repeat(2_500_000) } })
  t.match(await nginx.post(large, { ...JSON_TYPE, ...signed(large) }), { status: 413, text: /BODY_TOO_LARGE/ })
  const forged = anEventBody({ id: 'evt_forged' })
  t.match(await nginx.post(forged, { ...JSON_TYPE, ...signed(forged, { secrets: ['wbhsec_other'] }) }), {
    status: 401,
    text: /SIGNATURE_MISMATCH/,
  })
  t.match(await nginx.get('/metrics'), { status: 404 })
  t.match(await nginx.get('/readyz'), { status: 404 })

  first.spawned.signal('SIGKILL')
  await first.spawned.exit
  for (let count = 0; count < 4; count += 1) t.match(await deliver(`evt_later_${count}`), { status: 200 })
  await redis.kill()
  // 503 from the one that lives, or 502 where the other was asked last: Persona comes back after both.
  t.match(await deliver('evt_outage'), { status: /^50[23]$/ })
})

t.test('what a client says to be its address does not count behind it', { skip }, async (t) => {
  const redis = await throwAwayRedis(t)
  const env = { REDIS_URL: redis.url, TRUST_PROXY: '127.0.0.1', IP_ALLOWLIST: '192.0.2.1' }
  const ingress = await anIngressProcess(t, env)
  const nginx = await anNginx(t, [ingress.port])
  const body = anEventBody()
  const spoofed = { ...JSON_TYPE, ...signed(body), 'x-forwarded-for': '192.0.2.1' }
  t.match(await nginx.post(body, spoofed), { status: 403, text: /ADDRESS_NOT_ALLOWED/ })
  const direct = await fetch(`${ingress.url}/webhooks/persona`, { method: 'POST', headers: spoofed, body })
  t.equal(direct.status, 200, 'and would count without it, for whoever sits where the proxy is trusted')
})
