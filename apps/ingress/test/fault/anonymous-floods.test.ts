import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aFlood, floods, residentMb } from '../fixtures/a-flood.ts'
import { anIngressProcess } from '../fixtures/an-ingress-process.ts'

/** Of the deliveries that the machine answers in time without an attack. `pnpm bench hostile` has the long form. */
const SHARE = 0.95
const SECONDS = 4.5
/** What docs/security.md says. */
const MOST_MB = 512

const redis = await throwAwayRedis(t)
const ingress = await anIngressProcess(t, { REDIS_URL: redis.url, LOG_LEVEL: 'info' })
const flood = await aFlood(t, { port: ingress.port, pid: ingress.spawned.pid })

for (const { fact, manner, connections } of floods) {
  t.test(`authentic deliveries are answered in time beside ${fact}`, async (t) => {
    const met = await flood.meet({ manner, connections, seconds: SECONDS })
    t.comment(JSON.stringify(met))
    const { share, shareWithout, memoryMb } = met
    t.ok(share >= SHARE * shareWithout, `${share} in time, ${shareWithout} without the attack`)
    t.ok(memoryMb.peak < MOST_MB, `${memoryMb.peak} MB`)
  })
}

t.test('what the attacks took is given back', async (t) => {
  const isSmall = async () => (await residentMb(ingress.spawned.pid)) < MOST_MB / 2
  await eventually(isSmall, { deadlineMs: 20_000 })
  t.comment(`${await residentMb(ingress.spawned.pid)} MB`)
})
