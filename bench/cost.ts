import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { storedEvents, untilDrained } from './harness/backlog.ts'
import { runLoad } from './harness/load.ts'
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

async function wholeWay(
  servers: Servers,
  apps: Readonly<Record<'ingress' | 'worker', RunningApp>>,
  options: { readonly count: number; readonly queue: string; readonly round: number },
): Promise<WholeWay> {
  const { count, queue, round } = options
  const { ingress, worker } = apps
  await runLoad({ port: ingress.port, bodies: bodiesOf(Math.ceil(count / 20), `warm/${round}`) })
  await untilDrained(servers, queue)
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
  await runLoad({ port: ingress.port, bodies: bodiesOf(count, `${round}`) })
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

function cpuTable(results: ReadonlyMap<string, readonly WholeWay[]>): Table {
  const perSecond = (name: string): number => medianOf((results.get(name) ?? []).map((way) => way.perSecond))
  const perEvent = (ways: readonly WholeWay[], of: (way: WholeWay) => number): number =>
    medianOf(ways.map((way) => of(way) / way.events))
  return {
    title: 'Acknowledged and stored, everything at once on this machine, closed loop of 32',
    columns: ['contestant', 'events/s', 'of textbook', ...CPU.map((name) => `${name} CPU ms`), 'CPU ms in all', 'PostgreSQL bytes', 'network bytes'], // prettier-ignore
    rows: [...results].map(([name, ways]) => {
      const cpu = CPU.map((process) => perEvent(ways, (way) => way.usage[process]?.cpuMs ?? 0))
      return [
        name,
        withSpread(ways.map((way) => way.perSecond)),
        rounded(perSecond(name) / perSecond('textbook'), 1),
        ...cpu.map((value) => rounded(value, 3)),
        rounded(
          cpu.reduce((sum, value) => sum + value, 0),
          3,
        ),
        Math.round(perEvent(ways, (way) => way.postgresBytes)),
        Math.round(perEvent(ways, (way) => way.loopbackBytes)),
      ]
    }),
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

async function ours(count: number, round: number, env: Record<string, string> = {}): Promise<WholeWay> {
  return withServers(async (servers) => {
    const apps = { ingress: await startIngress(servers, env), worker: await startWorker(servers, env) }
    return wholeWay(servers, apps, { count, queue: 'persona-events', round })
  })
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const results = await inTurns<WholeWay>(
    [
      { name: 'ours', run: (round) => ours(EVENTS / shorter, round) },
      { name: 'ours, sealed', run: (round) => ours(EVENTS / shorter, round, KEYS) },
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
  say('filling Redis')
  const waiting = await waitingTable(WAITING / shorter)
  return { tables: [cpuTable(results), waiting], measurements: { whole: Object.fromEntries(results), waiting } }
}

/** What does an event cost? */
export const cost: Question = {
  name: 'cost',
  summary: 'What does an event cost, and how many go the whole way?',
  answer,
}
