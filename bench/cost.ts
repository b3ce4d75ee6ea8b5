import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { storedEvents, untilDrained } from './harness/backlog.ts'
import { prepareLoad, runLoad } from './harness/load.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import { startMeter, type Usage } from './harness/process-usage.ts'
import type { Question, QuestionOptions, Table } from './harness/question.ts'
import { inTurns } from './harness/rounds.ts'
import { startContestant, startIngress, startWorker, type RunningApp } from './harness/running-app.ts'
import { withServers, type Servers } from './harness/servers.ts'
import { bodiesOf } from './store.ts'

const EVENTS = 40_000
const SLOW_EVENTS = 4_000
const WAITING = 100_000
const RATES = [20, 200, 400]
const SECONDS = 20
/** Programs that are not compiled yet would be measured else. */
const WARM_UP = 4_000

/** What a whole stack does with a load, from the first delivery to the last row, everything at once. */
type WholeWay = {
  readonly perSecond: number
  readonly events: number
  readonly usage: Readonly<Record<string, Usage>>
  readonly postgresBytes: number
  readonly loopbackBytes: number
}

function loopbackBytes(): number {
  const line = /^\s*lo:\s*(\d+)/m.exec(readFileSync('/proc/net/dev', 'utf8'))
  return Number(line?.[1] ?? 0)
}

async function postgresBytes({ postgres }: Servers): Promise<number> {
  const [row] = await postgres.sql('SELECT pg_database_size(current_database())::float8 AS bytes')
  return Number(row?.['bytes'])
}

type WholeWayOptions = {
  readonly count: number
  readonly queue: string
  readonly round: number
  /** Default: a closed loop. */
  readonly ratePerSecond?: number
  /** Deliveries before anything is counted; default: a twentieth. */
  readonly warmUp?: number
}

async function wholeWay(
  servers: Servers,
  apps: Readonly<Record<'ingress' | 'worker', RunningApp>>,
  options: WholeWayOptions,
): Promise<WholeWay> {
  const { count, queue, round, ratePerSecond = null, warmUp = Math.ceil(count / 20) } = options
  const { ingress, worker } = apps
  await runLoad({ port: ingress.port, bodies: bodiesOf(warmUp, `warm/${round}`) })
  await untilDrained(servers, queue)
  // Before anything is counted: to build and to sign the bodies takes the load's process seconds.
  const load = await prepareLoad({ port: ingress.port, bodies: bodiesOf(count, `${round}`), ratePerSecond })
  const bytesBefore = await postgresBytes(servers)
  const networkBefore = loopbackBytes()
  const eventsBefore = await storedEvents(servers)
  const meter = startMeter({
    ingress: ingress.pid,
    worker: worker.pid,
    redis: servers.redis.pid,
    postgres: servers.postgres.pid,
  })
  const startedAt = performance.now()
  await load.run()
  await untilDrained(servers, queue)
  const seconds = (performance.now() - startedAt) / 1000
  const usage = meter()
  const events = (await storedEvents(servers)) - eventsBefore
  const network = loopbackBytes() - networkBefore
  const bytes = (await postgresBytes(servers)) - bytesBefore
  await Promise.all([ingress.stop(), worker.stop()])
  return { perSecond: events / seconds, events, usage, postgresBytes: bytes, loopbackBytes: network }
}

const CPU = ['ingress', 'worker', 'redis', 'postgres'] as const

function perEvent(ways: readonly WholeWay[], of: (way: WholeWay) => number): number {
  return medianOf(ways.map((way) => of(way) / way.events))
}

/** Processor time per event in ms: of each process, and of all. */
function cpuColumns(ways: readonly WholeWay[]): readonly number[] {
  const cpu = CPU.map((process) => perEvent(ways, (way) => way.usage[process]?.cpuMs ?? 0))
  return [...cpu, cpu.reduce((sum, value) => sum + value, 0)].map((value) => rounded(value, 3))
}

const CPU_TITLES = [...CPU.map((name) => `${name} CPU ms`), 'CPU ms in all']

/** What comes seldom costs more: every process wakes for it, and nothing shares a job or a transaction. */
function rateTable(results: ReadonlyMap<string, readonly WholeWay[]>): Table {
  return {
    title: 'Processor time by the rate of arrival, open loop',
    columns: ['arrivals', ...CPU_TITLES, 'processors of all'],
    rows: [...results].map(([name, ways]) => {
      const cpu = cpuColumns(ways)
      return [name, ...cpu, rounded((medianOf(ways.map((way) => way.perSecond)) * (cpu.at(-1) ?? NaN)) / 1000)]
    }),
  }
}

function cpuTable(results: ReadonlyMap<string, readonly WholeWay[]>): Table {
  const perSecond = (name: string): number => medianOf((results.get(name) ?? []).map((way) => way.perSecond))
  return {
    title: 'Acknowledged and stored, everything at once on this machine, closed loop of 32',
    columns: ['contestant', 'events/s', 'of textbook', ...CPU_TITLES, 'PostgreSQL bytes', 'network bytes'], // prettier-ignore
    rows: [...results].map(([name, ways]) => [
      name,
      withSpread(ways.map((way) => way.perSecond)),
      rounded(perSecond(name) / perSecond('textbook'), 1),
      ...cpuColumns(ways),
      Math.round(perEvent(ways, (way) => way.postgresBytes)),
      Math.round(perEvent(ways, (way) => way.loopbackBytes)),
    ]),
  }
}

async function redisMemory({ redis }: Servers): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(String(await redis.command('INFO', 'memory')))?.[1])
}

/** What Redis needs for deliveries that wait: alone, as they come slowly, and together, as they come fast. */
async function waitingTable(count: number): Promise<Table> {
  const rows: [string, string, string][] = []
  for (const [name, connections] of [
    ['one at a time', 1],
    ['32 at once', 32],
  ] as const) {
    await withServers(async (servers) => {
      const ingress = await startIngress(servers)
      const before = await redisMemory(servers)
      await runLoad({ port: ingress.port, bodies: bodiesOf(count, 'waiting'), connections })
      const bytes = (await redisMemory(servers)) - before
      rows.push([name, `${rounded(bytes / 1e6, 0)} MB`, `${Math.round(bytes / count)}`])
      await ingress.stop()
    })
  }
  return { title: `Redis, ${count} events waiting`, columns: ['they came', 'memory', 'bytes an event'], rows }
}

const key = `a:${randomBytes(32).toString('base64')}`
const KEYS = { QUEUE_ENCRYPTION_KEYS: key, STORAGE_ENCRYPTION_KEYS: key }

type OursOptions = Omit<WholeWayOptions, 'queue'> & { readonly env?: Record<string, string> }

async function ours({ env = {}, ...options }: OursOptions): Promise<WholeWay> {
  return withServers(async (servers) => {
    const apps = { ingress: await startIngress(servers, env), worker: await startWorker(servers, env) }
    return wholeWay(servers, apps, { ...options, queue: 'persona-events' })
  })
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const results = await inTurns<WholeWay>(
    [
      { name: 'ours', run: (round) => ours({ count: EVENTS / shorter, round }) },
      { name: 'ours, sealed', run: (round) => ours({ count: EVENTS / shorter, round, env: KEYS }) },
      {
        name: 'textbook',
        run: (round) =>
          withServers(async (servers) => {
            const ingress = await startContestant('textbook-ingress', servers)
            const worker = await startContestant('textbook-worker', servers)
            return wholeWay(servers, { ingress, worker }, { count: SLOW_EVENTS / shorter, queue: 'textbook', round })
          }),
      },
    ],
    { rounds, say },
  )
  const paced = await inTurns(
    RATES.map((rate) => ({
      name: `${rate}/s`,
      run: async (round: number) =>
        ours({ count: Math.ceil((rate * SECONDS) / shorter), round, ratePerSecond: rate, warmUp: WARM_UP }),
    })),
    { rounds, say },
  )
  say('filling Redis')
  const waiting = await waitingTable(WAITING / shorter)
  return {
    tables: [cpuTable(results), rateTable(paced), waiting],
    measurements: { whole: Object.fromEntries(results), paced: Object.fromEntries(paced), waiting },
  }
}

/** What does an event cost? */
export const cost: Question = {
  name: 'cost',
  summary: 'What does an event cost, and how many go the whole way?',
  answer,
}
