import t from 'tap'
import { throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody, SANDBOX_SECRET, signed } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'

const redis = await throwAwayRedis(t)

t.test('deliveries are counted by outcome, reason and environment', async (t) => {
  const { deliver, registry } = await anApp(t, { redisUrl: redis.url })
  await deliver()
  await deliver()
  await deliver({ body: anEventBody({ id: 'evt_2' }), secrets: [SANDBOX_SECRET] })
  await deliver({ body: Buffer.from('{') })
  for (let i = 0; i < 3; i += 1) await deliver({ secrets: [`wbhsec_unknown_${i}`] })
  await deliver({ headers: { 'content-type': 'text/plain' } })
  const text = await registry.getSingleMetricAsString('persona_ingress_deliveries_total')
  t.same(
    text
      .split('\n')
      .filter((line) => line.startsWith('persona'))
      .toSorted(),
    [
      'persona_ingress_deliveries_total{outcome="accepted",reason="",environment="production"} 2',
      'persona_ingress_deliveries_total{outcome="accepted",reason="",environment="sandbox"} 1',
      'persona_ingress_deliveries_total{outcome="quarantined",reason="INVALID_JSON",environment="production"} 1',
      'persona_ingress_deliveries_total{outcome="refused",reason="CONTENT_TYPE_UNSUPPORTED",environment="unknown"} 1',
      'persona_ingress_deliveries_total{outcome="refused",reason="SIGNATURE_MISMATCH",environment="unknown"} 3',
    ],
  )
})

t.test('answer time, enqueue time, signature age and Redis are measured', async (t) => {
  const { deliver, registry } = await anApp(t, { redisUrl: redis.url })
  const body = anEventBody()
  await deliver({ body, headers: signed(body, { ageSeconds: 30 }) })
  const text = await registry.metrics()
  t.match(text, /^persona_ingress_answer_seconds_count\{outcome="accepted"\} 1$/m)
  t.match(text, /^persona_ingress_enqueue_seconds_count\{result="confirmed"\} 1$/m)
  t.match(text, /^persona_ingress_signature_age_seconds_bucket\{le="10"\} 0$/m)
  t.match(text, /^persona_ingress_signature_age_seconds_bucket\{le="60"\} 1$/m)
  t.match(text, /^persona_ingress_redis_up 1$/m)
  t.match(text, /^process_resident_memory_bytes \d+/m)
})

t.test('metrics and probes stand on METRICS_PORT, and the public port shows no metrics', async (t) => {
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url })
  const statusOf = async (url: string) => (await fetch(url)).status
  t.equal(await statusOf(`${ingress.url}/metrics`), 404)
  t.equal(await statusOf(`${ingress.url}/livez`), 200)
  t.equal(await statusOf(`${ingress.url}/readyz`), 200)
  t.equal(await statusOf(`${ingress.metricsUrl}/livez`), 200)
  t.equal(await statusOf(`${ingress.metricsUrl}/readyz`), 200)
  t.match(await (await fetch(`${ingress.metricsUrl}/metrics`)).text(), /^persona_ingress_redis_up 1$/m)
})
