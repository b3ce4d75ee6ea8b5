import { throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { anEventBody } from '../fixtures/a-delivery.ts'
import { anApp } from '../fixtures/an-app.ts'

const redis = await throwAwayRedis(t)
const [OLD, NEW] = ['wbhsec_00000000-old', 'wbhsec_00000000-new']

/** What the ingress knows and what the provider signs with, at one moment of a rotation. */
type Stage = readonly [known: readonly string[], signing: readonly string[]]

/** Goes through a rotation, the ingress restarted wherever its list changes; gives the statuses of the deliveries. */
async function statusesOf(t: Test, name: string, stages: readonly Stage[]): Promise<readonly number[]> {
  const statuses: number[] = []
  for (const [index, [known, signing]] of stages.entries()) {
    const env = { PERSONA_WEBHOOK_SECRETS: known.join(',') }
    const app = await anApp(t, { redisUrl: redis.url, env })
    const { status } = await app.deliver({ body: anEventBody({ id: `evt_${name}_${index}` }), secrets: [...signing] })
    statuses.push(status)
  }
  return statuses
}

t.test('a rotation loses nothing, whoever changes first', async (t) => {
  const ingressFirst: readonly Stage[] = [
    [[OLD], [OLD]],
    [[OLD, NEW], [OLD]],
    [
      [OLD, NEW],
      [OLD, NEW],
    ],
    [[OLD, NEW], [NEW]],
    [[NEW], [NEW]],
  ]
  const providerFirst: readonly Stage[] = [
    [[OLD], [OLD]],
    [[OLD], [NEW, OLD]],
    [
      [NEW, OLD],
      [NEW, OLD],
    ],
    [[NEW], [NEW, OLD]],
    [[NEW], [NEW]],
  ]
  t.strictSame([...new Set(await statusesOf(t, 'ingress', ingressFirst))], [200])
  t.strictSame([...new Set(await statusesOf(t, 'provider', providerFirst))], [200])
})

t.test(
  'where the old secret is gone too early, deliveries are refused and come again until it is mended',
  async (t) => {
    const tooEarly: readonly Stage[] = [
      [[NEW], [OLD]],
      [[NEW, OLD], [OLD]],
    ]
    t.strictSame(await statusesOf(t, 'early', tooEarly), [401, 200])
  },
)
