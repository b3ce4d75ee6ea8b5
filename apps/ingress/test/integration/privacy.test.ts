import t from 'tap'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody, signed } from '../fixtures/a-delivery.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'
import { rawRequest } from '../fixtures/raw-request.ts'

const MARK = 'Marked-Person-Zoe'
const marked = { 'name-first': MARK, [`key-${MARK}`]: `${MARK}@example.test` }

function bodies(id: string): Buffer[] {
  const usable = anEventBody({ id, extra: marked })
  return [
    usable,
    usable.subarray(0, -3),
    Buffer.from(`${MARK} is no JSON`),
    anEventBody({ id: MARK.replaceAll('-', ' '), extra: marked }),
    Buffer.from(JSON.stringify({ data: { id: 'evt_named', attributes: { name: '', payload: marked } } })),
  ]
}

t.test('nothing of a body or a header gets into logs, metrics or answers, whatever happens', async (t) => {
  const redis = await throwAwayRedis(t)
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url, LOG_LEVEL: 'trace' })
  const answers: string[] = []
  const deliverAll = async (id: string) => {
    for (const body of bodies(id)) {
      for (const headers of [signed(body), signed(body, { secrets: [MARK] }), { 'persona-signature': MARK }]) {
        const url = `${ingress.url}/webhooks/persona?${MARK}`
        const request = {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers, 'x-person': MARK },
          body,
        }
        const answer = await fetch(url, request)
        answers.push(`${answer.status} ${JSON.stringify([...answer.headers])} ${await answer.text()}`)
      }
    }
  }
  await deliverAll('evt_1')
  await redis.command('CONFIG', 'SET', 'maxmemory', '1')
  await deliverAll('evt_2')
  await redis.command('CONFIG', 'SET', 'maxmemory', '0')
  await redis.kill()
  await deliverAll('evt_3')
  answers.push(await (await fetch(`${ingress.url}/${MARK}`)).text())
  answers.push(
    await rawRequest(ingress.port, `${MARK}\r\n\r\n`),
    await rawRequest(ingress.port, `GET /%${MARK} HTTP/1.0\r\n\r\n`),
  )
  const metrics = await (await fetch(`${ingress.metricsUrl}/metrics`)).text()
  ingress.spawned.signal('SIGTERM')
  await ingress.spawned.exit

  t.ok(answers.filter((answer) => answer.startsWith('200 ')).length >= 5, 'some were taken')
  t.ok(answers.filter((answer) => answer.startsWith('503 ')).length >= 10, 'some met an outage')
  const lines = [...ingress.spawned.lines, ...ingress.spawned.errorLines]
  t.ok(lines.length > 40)
  t.match(metrics, /persona_ingress_deliveries_total\{outcome="quarantined",reason="INVALID_JSON"/)
  for (const told of [lines.join('\n'), metrics, answers.join('\n')]) t.notMatch(told, /marked|person-zoe/i)
})

t.test('client addresses stay out of the log at every level', async (t) => {
  const redis = await throwAwayRedis(t)
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url, LOG_LEVEL: 'trace', TRUST_PROXY: 'true' })
  const body = anEventBody()
  const headers = { ...signed(body), 'x-forwarded-for': '203.0.113.77' }
  await fetch(`${ingress.url}/webhooks/persona`, { method: 'POST', headers, body })
  await fetch(`${ingress.url}/nothing-here`, { headers })
  await eventually(() => ingress.spawned.lines.some((line) => line.includes('delivery answered')))
  t.notMatch(ingress.spawned.lines.join('\n'), '203.0.113.77')
})
