import { halfOpenProxy } from '@persona-ingest/testkit'
import { untilDrained } from './harness/backlog.ts'
import { runLoad } from './harness/load.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import type { Question, QuestionOptions } from './harness/question.ts'
import { inTurns } from './harness/rounds.ts'
import { startIngress, startWorker } from './harness/running-app.ts'
import { withServers } from './harness/servers.ts'
import { bodiesOf } from './store.ts'

const BACKLOG = 20_000
/** So that waiting counts, and not the two processors that everything here shares. */
const ANSWER_DELAY_MS = 5

async function drain(workerCount: number, count: number, round: number): Promise<number> {
  return withServers(async (servers) => {
    const ingress = await startIngress(servers)
    await runLoad({ port: ingress.port, bodies: bodiesOf(count, `${round}`) })
    await ingress.stop()
    const proxy = await halfOpenProxy({ targetPort: servers.postgres.port })
    await proxy.delay(ANSWER_DELAY_MS)
    const url = new URL(servers.databaseUrl)
    url.port = String(proxy.port)
    const env = { DATABASE_URL: url.href, WORKER_CONCURRENCY: '100' }
    const startedAt = performance.now()
    const workers = await Promise.all(Array.from({ length: workerCount }, () => startWorker(servers, env)))
    const readyAt = performance.now()
    await untilDrained(servers)
    const seconds = (performance.now() - readyAt + (readyAt - startedAt) / 2) / 1000
    await Promise.all(workers.map((worker) => worker.stop()))
    await proxy.close()
    return count / seconds
  })
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const results = await inTurns(
    [1, 2, 4].map((workers) => ({
      name: String(workers),
      run: (round: number) => drain(workers, BACKLOG / shorter, round),
    })),
    { rounds, say },
  )
  const rate = (name: string): number => medianOf(results.get(name) ?? [])
  return {
    tables: [
      {
        title: `Drain behind a proxy that adds ${ANSWER_DELAY_MS} ms to every answer of PostgreSQL`,
        columns: ['workers', 'stored/s', 'of one'],
        rows: [...results].map(([name, rates]) => [name, withSpread(rates), rounded(rate(name) / rate('1'))]),
      },
    ],
    measurements: Object.fromEntries(results),
  }
}

/** Do several workers add up? */
export const workers: Question = { name: 'workers', summary: 'Do several workers add up?', answer }
