import t from 'tap'
import { eventually, freePort, noCertificates, startRedis, throwAwayCertificate } from '@persona-ingest/testkit'
import { anEventBody, signed } from '../fixtures/a-delivery.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'

const skip = await noCertificates()

t.test('REDIS_URL with rediss:// speaks TLS, and only to a server of a known CA', { skip }, async (t) => {
  const { key, cert } = await throwAwayCertificate(t)
  const tlsPort = await freePort()
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
  const redis = await startRedis({ args: ['--tls-port', String(tlsPort), '--tls-auth-clients', 'no', ...files] })
  t.teardown(() => redis.stop())
  const env = { REDIS_URL: `rediss://127.0.0.1:${tlsPort}` }
  const deliver = async (url: string) => {
    const body = anEventBody()
    const headers = { 'content-type': 'application/json', ...signed(body) }
    return (await fetch(`${url}/webhooks/persona`, { method: 'POST', headers, body })).status
  }
  const knowing = await anIngressProcess(t, { ...env, NODE_EXTRA_CA_CERTS: cert })
  await eventually(async () => (await deliver(knowing.url)) === 200)
  const ignorant = await anIngressProcess(t, env)
  t.equal(await deliver(ignorant.url), 503)
  t.equal((await fetch(`${ignorant.metricsUrl}/readyz`)).status, 503)
})
