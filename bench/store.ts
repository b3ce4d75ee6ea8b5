import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { storedEvents, untilDrained } from './harness/backlog.ts'
import type { BodyOptions } from './harness/bodies.ts'
import { runLoad } from './harness/load.ts'
import type { LoadResult } from './harness/load-plan.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import { startMeter, type Usage } from './harness/process-usage.ts'
import type { Question, QuestionOptions, Table } from './harness/question.ts'
import { inTurns } from './harness/rounds.ts'
import { startContestant, startIngress, startWorker } from './harness/running-app.ts'
import { withServers, type Servers } from './harness/servers.ts'

const BACKLOG = 50_000
/** At some 250/s, what takes the textbook worker as long as the others take for all. */
const SLOW_BACKLOG = 4_000
const RATES = [200, 1000, 2000]
const SECONDS = 15

export type Drain = {
  readonly perSecond: number
  readonly usage: Readonly<Record<string, Usage>>
  readonly events: number
}

export function bodiesOf(count: number, seed: string, more: Partial<BodyOptions> = {}): BodyOptions {
  return { seed, count, order: 'live', startAtMs: Date.now() - 3_600_000, ...more }
}

/** Fills the queue through the ingress, stops it, and lets workers drain the backlog. */
export async function drainOurs(servers: Servers, bodies: BodyOptions, workers = 1): Promise<Drain> {
  const before = await storedEvents(servers)
  const ingress = await startIngress(servers)
  await runLoad({ port: ingress.port, bodies })
  await ingress.stop()
  const running = await Promise.all(Array.from({ length: workers }, async () => startWorker(servers)))
  const pids = Object.fromEntries(
    running.map(({ pid }, index) => [index === 0 ? 'worker' : `worker ${index + 1}`, pid]),
  )
  const meter = startMeter({ ...pids, redis: servers.redis.pid, postgres: servers.postgres.pid })
  const startedAt = performance.now()
  await untilDrained(servers)
  const seconds = (performance.now() - startedAt) / 1000
  const usage = meter()
  await Promise.all(running.map(async (worker) => worker.stop()))
  return { perSecond: bodies.count / seconds, usage, events: (await storedEvents(servers)) - before }
}

async function drainTextbook(count: number, round: number): Promise<Drain> {
  return withServers(async (servers) => {
    const ingress = await startContestant('textbook-ingress', servers)
    await runLoad({ port: ingress.port, bodies: bodiesOf(count, `${round}`) })
    await ingress.stop()
    const startedAt = performance.now()
    const worker = await startContestant('textbook-worker', servers)
    const meter = startMeter({ worker: worker.pid, redis: servers.redis.pid, postgres: servers.postgres.pid })
    await untilDrained(servers, 'textbook')
    const seconds = (performance.now() - startedAt) / 1000
    const usage = meter()
    await worker.stop()
    return { perSecond: count / seconds, usage, events: await storedEvents(servers) }
  })
}

async function storageCeiling(count: number): Promise<Drain> {
  return withServers(async (servers) => {
    const env = { ...process.env, DATABASE_URL: servers.databaseUrl, COUNT: String(count) }
    const meter = startMeter({ redis: servers.redis.pid, postgres: servers.postgres.pid })
    const child = fork(join(import.meta.dirname, 'contestants/storage-ceiling.ts'), { env })
    const [found] = (await once(child, 'message')) as [{ perSecond: number; cpuMs: number }]
    const usage = { ...meter(), worker: { cpuMs: found.cpuMs, memoryMb: 0 } }
    return { perSecond: found.perSecond, usage, events: await storedEvents(servers) }
  })
}

async function paced(rate: number, seconds: number, round: number): Promise<LoadResult> {
  return withServers(async (servers) => {
    const ingress = await startIngress(servers)
    const worker = await startWorker(servers)
    await runLoad({ port: ingress.port, bodies: bodiesOf(2000, `warm/${round}`), ratePerSecond: rate, connections: 64 })
    await untilDrained(servers)
    const result = await runLoad({
      port: ingress.port,
      bodies: bodiesOf(rate * seconds, `${round}`),
      ratePerSecond: rate,
      connections: 64,
      lookUpEvery: 10,
      databaseUrl: servers.databaseUrl,
    })
    await Promise.all([ingress.stop(), worker.stop()])
    return result
  })
}

/** Of all processes whose name begins so: `worker` and `worker 2`. */
function cpuOf({ usage }: Drain, name: string): number {
  const own = Object.entries(usage).filter(([process]) => process.startsWith(name))
  return own.reduce((sum, [, { cpuMs }]) => sum + cpuMs, 0)
}

function drainTable(results: ReadonlyMap<string, readonly Drain[]>): Table {
  const rate = (name: string): number => medianOf((results.get(name) ?? []).map((drain) => drain.perSecond))
  const cpu = (drains: readonly Drain[], name: string): number =>
    rounded(medianOf(drains.map((drain) => cpuOf(drain, name) / drain.events)), 3)
  return {
    title: 'Drain of a backlog',
    columns: [
      'contestant',
      'stored/s',
      'of textbook',
      'of the ceiling',
      'CPU ms/event: Node.js',
      'PostgreSQL',
      'Redis',
    ],
    rows: [...results].map(([name, drains]) => [
      name,
      withSpread(drains.map((drain) => drain.perSecond)),
      rounded(rate(name) / rate('textbook'), 1),
      rounded(rate(name) / rate('ceiling')),
      cpu(drains, 'worker'),
      cpu(drains, 'postgres'),
      cpu(drains, 'redis'),
    ]),
  }
}

function queryableTable(results: ReadonlyMap<string, readonly LoadResult[]>): Table {
  return {
    title: 'From the 200 to a row that a query finds',
    columns: ['arrivals', 'p50 ms', 'p99 ms', 'p99.9 ms'],
    rows: [...results].map(([name, all]) => [
      name,
      ...(['p50', 'p99', 'p999'] as const).map((key) =>
        withSpread(
          all.map(({ queryableMs }) => queryableMs?.[key] ?? NaN),
          1,
        ),
      ),
    ]),
  }
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const drains = await inTurns<Drain>(
    [
      {
        name: 'ours',
        run: (round) => withServers((servers) => drainOurs(servers, bodiesOf(BACKLOG / shorter, `${round}`))),
      },
      {
        name: 'ours, two workers',
        run: (round) => withServers((servers) => drainOurs(servers, bodiesOf(BACKLOG / shorter, `${round}`), 2)),
      },
      { name: 'textbook', run: (round) => drainTextbook(SLOW_BACKLOG / shorter, round) },
      { name: 'ceiling', run: () => storageCeiling(BACKLOG / shorter) },
    ],
    { rounds, say },
  )
  const queryable = await inTurns(
    RATES.map((rate) => ({ name: `${rate}/s`, run: (round: number) => paced(rate, SECONDS / shorter, round) })),
    { rounds, say },
  )
  return {
    tables: [drainTable(drains), queryableTable(queryable)],
    measurements: { drain: Object.fromEntries(drains), queryable: Object.fromEntries(queryable) },
  }
}

/** How long until the row can be queried, and how fast is a backlog gone? */
export const store: Question = {
  name: 'store',
  summary: 'How long until the row can be queried, and how fast is a backlog gone?',
  answer,
}
