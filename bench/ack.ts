import { startContestant, startIngress, startWorker, type RunningApp } from './harness/running-app.ts'
import { runLoad } from './harness/load.ts'
import type { LoadResult } from './harness/load-plan.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import type { Question, QuestionOptions, Table } from './harness/question.ts'
import { inTurns, type Contestant } from './harness/rounds.ts'
import { withServers, type Servers } from './harness/servers.ts'

const RATES = [200, 1000, 2000]
const OPEN_SECONDS = 10
const CLOSED_DELIVERIES = 40_000
/** What a handler that stores in the request acknowledges in the time that the others take for all. */
const SLOW_DELIVERIES = 4_000
const WARM_UP = 4_000

type Runner = { readonly name: string; readonly isSlow: boolean; start(servers: Servers): Promise<RunningApp[]> }

const ours: Runner = {
  name: 'ours',
  isSlow: false,
  start: async (servers) => [await startIngress(servers)],
}
const alone = (name: string, isSlow = false): Runner => ({
  name,
  isSlow,
  start: async (servers) => [await startContestant(name, servers)],
})
const closedRunners = [
  ours,
  alone('nothing-stored'),
  alone('bare'),
  alone('textbook-ingress'),
  alone('prisma-in-request', true),
]
const openRunners: readonly Runner[] = [
  { ...ours, start: async (servers) => [await startIngress(servers), await startWorker(servers)] },
  alone('nothing-stored'),
  {
    name: 'textbook',
    isSlow: true,
    start: async (servers) => [
      await startContestant('textbook-ingress', servers),
      await startContestant('textbook-worker', servers),
    ],
  },
  alone('prisma-in-request', true),
]

async function load(runner: Runner, count: number, ratePerSecond: number | null, round: number): Promise<LoadResult> {
  return withServers(async (servers) => {
    const apps = await runner.start(servers)
    const port = apps[0]?.port ?? 0
    const bodies = { order: 'live', startAtMs: Date.now() - 3_600_000 } as const
    const warmUp = runner.isSlow ? WARM_UP / 10 : WARM_UP
    await runLoad({ port, bodies: { ...bodies, seed: `warm/${round}`, count: warmUp } })
    const result = await runLoad({ port, ratePerSecond, connections: ratePerSecond === null ? 32 : 64, bodies: { ...bodies, seed: `${round}`, count } }) // prettier-ignore
    for (const app of apps) await app.stop()
    return result
  })
}

function contestants(
  runners: readonly Runner[],
  countOf: (runner: Runner) => number,
  rate: number | null,
): Contestant<LoadResult>[] {
  return runners.map((runner) => ({
    name: runner.name,
    run: (round) => load(runner, countOf(runner), rate, round),
  }))
}

function closedTable(results: ReadonlyMap<string, readonly LoadResult[]>): Table {
  const perSecond = (name: string): number => medianOf((results.get(name) ?? []).map((result) => result.perSecond))
  return {
    title: 'Closed loop, 32 in flight, worker off',
    columns: ['contestant', 'acknowledged/s', 'p50 ms', 'p99 ms', 'of nothing-stored', 'of bare'],
    rows: [...results].map(([name, all]) => [
      name,
      withSpread(all.map((result) => result.perSecond)),
      rounded(medianOf(all.map((result) => result.latencyMs.p50))),
      rounded(medianOf(all.map((result) => result.latencyMs.p99))),
      rounded(perSecond(name) / perSecond('nothing-stored')),
      rounded(perSecond(name) / perSecond('bare')),
    ]),
  }
}

function openTable(rate: number, results: ReadonlyMap<string, readonly LoadResult[]>): Table {
  return {
    title: `Open loop, ${rate}/s, worker on; times from the scheduled moment`,
    columns: ['contestant', 'acknowledged/s', 'p50 ms', 'p99 ms', 'p99.9 ms', 'not acknowledged'],
    rows: [...results].map(([name, all]) => [
      name,
      withSpread(all.map((result) => result.perSecond)),
      ...(['p50', 'p99', 'p999'] as const).map((key) =>
        withSpread(
          all.map((result) => result.latencyMs[key]),
          1,
        ),
      ),
      medianOf(all.map((result) => result.deliveries - result.acknowledged)),
    ]),
  }
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const countOf = (runner: Runner) => (runner.isSlow ? SLOW_DELIVERIES : CLOSED_DELIVERIES) / shorter
  const closed = await inTurns(contestants(closedRunners, countOf, null), { rounds, say })
  const tables = [closedTable(closed)]
  const measurements: Record<string, unknown> = { closed: Object.fromEntries(closed) }
  for (const rate of RATES) {
    const open = await inTurns(
      contestants(openRunners, () => (rate * OPEN_SECONDS) / shorter, rate),
      { rounds, say: (line) => say(`${rate}/s, ${line}`) },
    )
    tables.push(openTable(rate, open))
    measurements[`open${rate}`] = Object.fromEntries(open)
  }
  return { tables, measurements }
}

/** How long does the provider wait for the 200? */
export const ack: Question = { name: 'ack', summary: 'How long does the provider wait for the 200?', answer }
