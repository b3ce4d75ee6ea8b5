import { untilDrained } from './harness/backlog.ts'
import { runLoad } from './harness/load.ts'
import type { LoadResult } from './harness/load-plan.ts'
import { rounded } from './harness/numbers.ts'
import { openHandles, usageOf } from './harness/process-usage.ts'
import type { Question, QuestionOptions } from './harness/question.ts'
import { startIngress, startWorker } from './harness/running-app.ts'
import { withServers } from './harness/servers.ts'
import { bodiesOf } from './store.ts'

const MINUTES = 30
/** About half of what goes the whole way on two processors (`cost`). */
const RATE = Number(process.env['BENCH_SOAK_RATE'] ?? 500)
const SLICES = 10

type Slice = {
  readonly latencyMs: LoadResult['latencyMs']
  readonly notAcknowledged: number
  readonly memoryMb: Readonly<Record<string, number>>
  readonly handles: Readonly<Record<string, number>>
}

async function answer({ shorter, say }: QuestionOptions) {
  const seconds = (MINUTES * 60) / SLICES / shorter
  const slices = await withServers(async (servers) => {
    const ingress = await startIngress(servers)
    const worker = await startWorker(servers)
    const pids = { ingress: ingress.pid, worker: worker.pid, redis: servers.redis.pid, postgres: servers.postgres.pid }
    const found: Slice[] = []
    for (let slice = 0; slice < SLICES; slice += 1) {
      const bodies = bodiesOf(Math.ceil(RATE * seconds), `soak/${slice}`)
      const result = await runLoad({ port: ingress.port, bodies, ratePerSecond: RATE, connections: 64 })
      await untilDrained(servers)
      const memory = Object.entries(pids).map(([name, pid]) => [name, rounded(usageOf(pid).memoryMb, 0)] as const)
      const handles = (['ingress', 'worker'] as const).map((name) => [name, openHandles(pids[name])] as const)
      found.push({
        latencyMs: result.latencyMs,
        notAcknowledged: result.deliveries - result.acknowledged,
        memoryMb: Object.fromEntries(memory),
        handles: Object.fromEntries(handles),
      })
      say(`slice ${slice + 1} of ${SLICES}: p99 ${rounded(result.latencyMs.p99)} ms, ${JSON.stringify(Object.fromEntries(memory))} MB`) // prettier-ignore
    }
    await Promise.all([ingress.stop(), worker.stop()])
    return found
  })
  const processes = ['ingress', 'worker', 'redis', 'postgres']
  return {
    tables: [
      {
        title: `${rounded((seconds * SLICES) / 60, 1)} minutes at ${RATE}/s, ${SLICES} slices`,
        columns: ['slice', 'p50 ms', 'p99 ms', 'not acknowledged', ...processes.map((name) => `${name} MB`), 'handles'],
        rows: slices.map((slice, index) => [
          index + 1,
          rounded(slice.latencyMs.p50),
          rounded(slice.latencyMs.p99),
          slice.notAcknowledged,
          ...processes.map((name) => slice.memoryMb[name] ?? NaN),
          `${slice.handles['ingress']} + ${slice.handles['worker']}`,
        ]),
      },
    ],
    measurements: slices,
  }
}

/** Do memory, latency and file handles stay flat? */
export const soak: Question = { name: 'soak', summary: 'Do memory, latency and file handles stay flat?', answer }
