import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { freePort } from '@persona-ingest/testkit'
import { untilDrained } from './harness/backlog.ts'
import { runLoad } from './harness/load.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import { startMeter } from './harness/process-usage.ts'
import type { Question, QuestionOptions, Table } from './harness/question.ts'
import { inTurns } from './harness/rounds.ts'
import { startIngress, startNotifier, startWorker } from './harness/running-app.ts'
import { withServers } from './harness/servers.ts'
import { bodiesOf } from './store.ts'

const EVENTS = 40_000
const RATE = 200
const SECONDS = 30

type Stored = { readonly perSecond: number; readonly nodeMs: number; readonly walPerEvent: number }
type Store = Stored & { readonly postgresMs: number; readonly bytesPerChange: number; readonly changesPerEvent: number }

const sizeSql = `
SELECT sum(pg_total_relation_size(inhrelid))::float8 AS bytes, (SELECT count(*)::float8 FROM changes) AS changes
FROM pg_inherits WHERE inhparent = 'changes'::regclass`

async function storeWith(feed: 'on' | 'off', count: number): Promise<Store> {
  return withServers(async (servers) => {
    const env = { ...process.env, DATABASE_URL: servers.databaseUrl, COUNT: String(count), FEED: feed }
    const child = fork(join(import.meta.dirname, 'contestants/feed-store.ts'), { env })
    await once(child, 'message')
    const meter = startMeter({ postgres: servers.postgres.pid })
    child.send('go')
    const [stored] = (await once(child, 'message')) as [Stored]
    const postgresMs = (meter()['postgres']?.cpuMs ?? NaN) / count
    const [size] = await servers.postgres.sql(sizeSql)
    const changes = Number(size?.['changes'])
    return {
      ...stored,
      postgresMs,
      bytesPerChange: Number(size?.['bytes']) / changes,
      changesPerEvent: changes / (count * 1.1),
    }
  })
}

function storeTable(results: ReadonlyMap<string, readonly Store[]>): Table {
  const all = (name: string, of: (store: Store) => number) => (results.get(name) ?? []).map(of)
  const row = (figure: string, of: (store: Store) => number, digits: number) => {
    const [off, on] = [all('off', of), all('on', of)]
    const [before, after] = [medianOf(off), medianOf(on)]
    return [
      figure,
      withSpread(off, digits),
      withSpread(on, digits),
      rounded(after / before, 3),
      rounded(after - before, 4),
    ]
  }
  return {
    title: 'Storing with the change feed off and on',
    columns: ['figure', 'off', 'on', 'on / off', 'on - off'],
    rows: [
      row('stored/s', ({ perSecond }) => perSecond, 0),
      row('ms of processor time an event: Node.js', ({ nodeMs }) => nodeMs, 4),
      row('PostgreSQL', ({ postgresMs }) => postgresMs, 4),
      row('both', ({ nodeMs, postgresMs }) => nodeMs + postgresMs, 4),
      row('bytes of WAL an event', ({ walPerEvent }) => walPerEvent, 0),
      ['changes an event', '', rounded(medianOf(all('on', ({ changesPerEvent }) => changesPerEvent))), '', ''],
      [
        'bytes a change, index included',
        '',
        rounded(medianOf(all('on', ({ bytesPerChange }) => bytesPerChange)), 0),
        '',
        '',
      ],
    ],
  }
}

type Answered = { readonly p50: number; readonly p99: number }

/** An address of the loopback interface where nothing listens: every request is refused. */
async function deadEndpoint(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}/`
}

async function answersWith(notifier: 'without' | 'dead', round: number, seconds: number): Promise<Answered> {
  return withServers(async (servers) => {
    const apps = [await startIngress(servers), await startWorker(servers)]
    if (notifier === 'dead') apps.push(await startNotifier(servers, { NOTIFIER_URL: await deadEndpoint() }))
    const port = apps[0]?.port ?? 0
    await runLoad({ port, bodies: bodiesOf(2000, `warm/${round}`), ratePerSecond: RATE, connections: 64 })
    await untilDrained(servers)
    const result = await runLoad({
      port,
      bodies: bodiesOf(RATE * seconds, `${round}`),
      ratePerSecond: RATE,
      connections: 64,
    })
    await untilDrained(servers)
    await Promise.all(apps.map(async (app) => app.stop()))
    return { p50: result.latencyMs.p50, p99: result.latencyMs.p99 }
  })
}

function answerTable(results: ReadonlyMap<string, readonly Answered[]>): Table {
  return {
    title: `Answers at ${RATE}/s beside a notifier whose endpoint is dead`,
    columns: ['notifier', 'p50 ms', 'p99 ms'],
    rows: [...results].map(([name, all]) => [
      name,
      withSpread(
        all.map(({ p50 }) => p50),
        1,
      ),
      withSpread(
        all.map(({ p99 }) => p99),
        1,
      ),
    ]),
  }
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const stores = await inTurns<Store>(
    (['off', 'on'] as const).map((name) => ({ name, run: () => storeWith(name, EVENTS / shorter) })),
    { rounds, say },
  )
  const answers = await inTurns<Answered>(
    (['without', 'dead'] as const).map((name) => ({
      name,
      run: (round: number) => answersWith(name, round, SECONDS / shorter),
    })),
    { rounds, say },
  )
  return {
    tables: [storeTable(stores), answerTable(answers)],
    measurements: { stores: Object.fromEntries(stores), answers: Object.fromEntries(answers) },
  }
}

/** What does the change feed cost, and a notifier whose endpoint is dead? */
export const feed: Question = {
  name: 'feed',
  summary: 'What does the change feed cost, and a notifier whose endpoint is dead?',
  answer,
}
