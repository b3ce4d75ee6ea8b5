import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t from 'tap'
import { aFlood, floods, residentMb } from '../../fixtures/a-flood.ts'
import { anIngressProcess } from '../../fixtures/an-ingress-process.ts'

/** Of the deliveries that the machine answers in time without an attack. `pnpm bench hostile` has the long form. */
const SHARE = 0.95
const SECONDS = 4.5
/** What docs/security.md says. */
const MOST_MB = 512

const redis = await throwAwayRedis(t)
/** A machine that answers fewer in time without an attack tells nothing of the attack. */
const SHARE_TO_JUDGE = 0.99
/** The best of so many runs counts: others' work on the machine takes a share of one run, a fault takes it of all. */
const RUNS = 3

/** A process for the attacks on memory, and one for those on time: what one took must not be counted to the other. */
for (const group of [floods.slice(0, 5), floods.slice(5)]) {
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url, LOG_LEVEL: 'info' })
  const { pid } = ingress.spawned
  const flood = await aFlood(t, { port: ingress.port, pid })
  for (const { fact, manner, connections } of group) {
    t.test(`authentic deliveries are answered in time beside ${fact}`, async (t) => {
      let isInTime = false
      for (let run = 1; run <= RUNS && !isInTime; run += 1) {
        const met = await flood.meet({ manner, connections, seconds: SECONDS })
        t.comment(JSON.stringify(met))
        const { share, shareWithout, memoryMb } = met
        t.ok(memoryMb.peak < MOST_MB, `${memoryMb.peak} MB`)
        isInTime = share >= SHARE * shareWithout || shareWithout < SHARE_TO_JUDGE
      }
      t.ok(isInTime)
      if (manner !== 'largeChunk') return
      await eventually(async () => (await residentMb(pid)) < MOST_MB / 2, { deadlineMs: 60_000 })
      t.pass(`what the attack took is given back: ${await residentMb(pid)} MB`)
    })
  }
}
