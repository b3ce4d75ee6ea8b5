import t, { type Test } from 'tap'
import { throwAwayRedis } from '@persona-ingest/testkit'
import { anEventBody, signed } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'

const redis = await throwAwayRedis(t)
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** Runs the real process with a clock that is off by so much. */
async function anIngressAhead(t: Test, aheadMs: number) {
  const shift = `Date.now = ((now) => () => now() + ${aheadMs})(Date.now)`
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(shift)}`
  return anIngressProcess(t, { REDIS_URL: redis.url, NODE_OPTIONS })
}

for (const { name, aheadMs, status, skewSeconds } of [
  { name: 'four minutes behind', aheadMs: -4 * MINUTE_MS, status: 200, skewSeconds: /^-(239|240)/ },
  { name: 'a day behind', aheadMs: -DAY_MS, status: 401, skewSeconds: /^-(86399|86400)/ },
  { name: 'a day ahead', aheadMs: DAY_MS, status: 200, skewSeconds: /^8640/ },
]) {
  t.test(`the process, its clock ${name}: measured, told with what to do, and nothing quarantined`, async (t) => {
    const ingress = await anIngressAhead(t, aheadMs)
    const createdAt = new Date().toISOString()
    for (let index = 0; index < 10; index += 1) {
      const body = anEventBody({ id: `evt_${index}`, createdAt })
      const answer = await fetch(`${ingress.url}/webhooks/persona`, { method: 'POST', headers: signed(body), body })
      t.equal(answer.status, status)
      t.notMatch(await answer.text(), 'quarantined')
    }
    const line = await ingress.spawned.waitForLine((each) => each.includes('mend its time synchronisation'))
    t.match(JSON.parse(line), { level: 'warn', signatures: 10, refused: status === 401 ? 10 : 0 })
    t.match(String((JSON.parse(line) as { skewSeconds: number }).skewSeconds), skewSeconds)
    const metrics = await (await fetch(`${ingress.metricsUrl}/metrics`)).text()
    t.match(/^persona_ingress_clock_skew_seconds (\S+)$/m.exec(metrics)?.[1] ?? '', skewSeconds)
  })
}

t.test('whatever our clock says, an event of today is accepted or refused, never quarantined', async (t) => {
  // Quarantined, it would be a dead letter, and the provider would not send it again.
  const clock = { aheadMs: 0 }
  const { deliver } = await anApp(t, { redisUrl: redis.url, now: () => Date.now() + clock.aheadMs })
  const skews = [-400, -2, -1].map((days) => days * DAY_MS).concat([-6, -4, 4, 600].map((minutes) => minutes * MINUTE_MS), [5.9 * DAY_MS, 6.1 * DAY_MS, 400 * DAY_MS]) // prettier-ignore
  const outcomes: (string | undefined)[] = []
  for (const aheadMs of skews) {
    clock.aheadMs = aheadMs
    const { json } = await deliver({ body: anEventBody({ createdAt: new Date().toISOString() }) })
    outcomes.push(json.status ?? json.errors?.[0]?.code)
  }
  const [early, late, ok] = ['SIGNATURE_IN_FUTURE', 'SIGNATURE_TOO_OLD', 'accepted']
  t.strictSame(outcomes, [early, early, early, early, ok, ok, ok, ok, late, late])
})
