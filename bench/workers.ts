import { halfOpenProxy } from '@persona-ingest/testkit'
import { setTimeout as pause } from 'node:timers/promises'
import { storedEvents, untilDrained } from './harness/backlog.ts'
import { runLoad } from './harness/load.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import type { Question, QuestionOptions, Table } from './harness/question.ts'
import { inTurns } from './harness/rounds.ts'
import { busyProcessorMs } from './harness/process-usage.ts'
import { startIngress, startWorker } from './harness/running-app.ts'
import { withServers, type Servers } from './harness/servers.ts'
import { bodiesOf } from './store.ts'

const BACKLOG = 20_000
/**
 * Added to every answer of PostgreSQL, so that waiting counts, and not the two processors that everything here shares:
 * 5 ms are the question's, 50 keep the processors out of it on a slow machine too.
 */
const ANSWER_DELAYS_MS = [5, 50]
/** Few, so that one worker waits for answers most of its time. */
const CONCURRENCY = '100'

type Steady = { readonly perSecond: number; readonly busyProcessors: number }

/** Waits until so many events are stored; tells when, and what the machine's processors had done by then. */
async function reached(servers: Servers, events: number) {
  let stored = await storedEvents(servers)
  for (; stored < events; stored = await storedEvents(servers)) await pause(50)
  return { events: stored, atMs: performance.now(), busyMs: busyProcessorMs() }
}

/** From the first tenth to the last: starting costs the two processors more than storing does. */
async function steadyRate(servers: Servers, count: number): Promise<Steady> {
  const from = await reached(servers, count / 10)
  const to = await reached(servers, count * 0.9)
  const ms = to.atMs - from.atMs
  return { perSecond: ((to.events - from.events) / ms) * 1000, busyProcessors: (to.busyMs - from.busyMs) / ms }
}

type Load = { readonly workers: number; readonly delayMs: number; readonly count: number; readonly round: number }

async function drain({ workers: workerCount, delayMs, count, round }: Load): Promise<Steady> {
  return withServers(async (servers) => {
    const ingress = await startIngress(servers)
    await runLoad({ port: ingress.port, bodies: bodiesOf(count, `${round}`) })
    await ingress.stop()
    const proxy = await halfOpenProxy({ targetPort: servers.postgres.port })
    await proxy.delay(delayMs)
    const url = new URL(servers.databaseUrl)
    url.port = String(proxy.port)
    const env = { DATABASE_URL: url.href, WORKER_CONCURRENCY: CONCURRENCY }
    const workers = await Promise.all(Array.from({ length: workerCount }, () => startWorker(servers, env)))
    const steady = await steadyRate(servers, count)
    await untilDrained(servers)
    await Promise.all(workers.map((worker) => worker.stop()))
    await proxy.close()
    return steady
  })
}

function tableOf(delayMs: number, results: ReadonlyMap<string, readonly Steady[]>): Table {
  const rate = (name: string): number => medianOf((results.get(name) ?? []).map(({ perSecond }) => perSecond))
  return {
    title: `Drain behind a proxy that adds ${delayMs} ms to every answer of PostgreSQL`,
    columns: ['workers', 'stored/s', 'of one', 'processors busy'],
    rows: [...results].map(([name, all]) => [
      name,
      withSpread(all.map(({ perSecond }) => perSecond)),
      rounded(rate(name) / rate('1')),
      rounded(medianOf(all.map(({ busyProcessors }) => busyProcessors))),
    ]),
  }
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const tables: Table[] = []
  const measurements: Record<string, unknown> = {}
  for (const delayMs of ANSWER_DELAYS_MS) {
    const results = await inTurns(
      [1, 2, 4].map((workers) => ({
        name: String(workers),
        run: async (round: number) => drain({ workers, delayMs, count: BACKLOG / shorter, round }),
      })),
      { rounds, say: (line) => say(`${delayMs} ms, ${line}`) },
    )
    tables.push(tableOf(delayMs, results))
    measurements[`${delayMs} ms`] = Object.fromEntries(results)
  }
  return { tables, measurements }
}

/** Do several workers add up? */
export const workers: Question = { name: 'workers', summary: 'Do several workers add up?', answer }
