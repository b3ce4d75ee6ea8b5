import { aFlood, floods, residentMb, type FloodResult } from '../apps/ingress/test/fixtures/a-flood.ts'
import { PRODUCTION_SECRET } from '../apps/ingress/test/fixtures/a-delivery.ts'
import { rounded } from './harness/numbers.ts'
import type { Question, QuestionOptions, Table } from './harness/question.ts'
import { startIngress } from './harness/running-app.ts'
import { withServers } from './harness/servers.ts'

const SECONDS = 30
/** After it an ingress has given back what an attack took. */
const QUIET_SECONDS = 15

type Measured = FloodResult & { readonly fact: string; readonly connections: number; readonly quietMb: number }

/** One attack on an ingress of its own, as built. */
async function measure(flood: (typeof floods)[number], seconds: number): Promise<Measured> {
  return withServers(async (servers) => {
    const ingress = await startIngress(servers, { PERSONA_WEBHOOK_SECRETS: PRODUCTION_SECRET })
    const teardowns: (() => unknown)[] = []
    try {
      const scope = { teardown: (handler: () => unknown) => teardowns.push(handler) }
      const client = await aFlood(scope, ingress)
      const met = await client.meet({ ...flood, seconds })
      await new Promise((resolve) => setTimeout(resolve, QUIET_SECONDS * 1000))
      return { ...met, fact: flood.fact, connections: flood.connections, quietMb: await residentMb(ingress.pid) }
    } finally {
      for (const end of teardowns) await end()
      await ingress.stop()
    }
  })
}

function tableOf(measured: readonly Measured[], seconds: number): Table {
  const percent = (share: number): string => `${rounded(100 * share, 1)} %`
  return {
    title: `50 authentic deliveries/s, each over a connection of its own, beside ${rounded(seconds)} s of an attack`,
    columns: [
      'attack',
      'connections',
      'in time',
      'without',
      'slowest ms',
      'MB before',
      'peak',
      `after ${QUIET_SECONDS} s`,
    ],
    rows: measured.map(({ fact, connections, share, shareWithout, authentic, memoryMb, quietMb }) => [
      fact,
      connections,
      percent(share),
      percent(shareWithout),
      authentic.worstMs,
      memoryMb.before,
      memoryMb.peak,
      quietMb,
    ]),
  }
}

async function answer({ shorter, say }: QuestionOptions) {
  const seconds = Math.max(2, SECONDS / shorter)
  const measured: Measured[] = []
  for (const flood of floods) {
    const met = await measure(flood, seconds)
    say(`${flood.fact}: ${rounded(100 * met.share, 1)} % in time, ${met.memoryMb.peak} MB`)
    measured.push(met)
  }
  return { tables: [tableOf(measured, seconds)], measurements: measured }
}

/** Are authentic deliveries answered in time beside attacks that need no secret? */
export const hostile: Question = {
  name: 'hostile',
  summary: 'Are authentic deliveries answered in time beside attacks that need no secret?',
  answer,
}
