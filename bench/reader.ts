import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { ConsumerFigures } from './contestants/feed-consumer.ts'
import { untilDrained } from './harness/backlog.ts'
import { fillOneTick, fillSmallTicks } from './harness/fill-feed.ts'
import { runLoad } from './harness/load.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import type { Question, QuestionOptions, Table } from './harness/question.ts'
import { inTurns } from './harness/rounds.ts'
import { startIngress, startWorker } from './harness/running-app.ts'
import { withServers, type Servers } from './harness/servers.ts'
import { bodiesOf } from './store.ts'

const BEHIND = 1_000_000
const CHANGES_EACH = 3
/** 36 changes in a tick: those of 100 ms at the rate below. */
const TRANSACTIONS_PER_TICK = 12
const RATE = 350
const SECONDS = 60

function startConsumer({ databaseUrl }: Servers, env: Readonly<Record<string, string>>) {
  const child = fork(join(import.meta.dirname, 'contestants/feed-consumer.ts'), {
    env: { ...process.env, DATABASE_URL: databaseUrl, ...env },
  })
  const ready = once(child, 'message')
  return {
    ready,
    async figures() {
      const [figures] = (await once(child, 'message')) as [ConsumerFigures]
      return figures
    },
    end: () => void child.send('end'),
  }
}

async function catchUp(fill: (servers: Servers) => Promise<void>, changes: number): Promise<ConsumerFigures> {
  return withServers(async (servers) => {
    await fill(servers)
    const consumer = startConsumer(servers, { COUNT: String(changes) })
    await consumer.ready
    return consumer.figures()
  })
}

async function follow(seconds: number, round: number): Promise<ConsumerFigures> {
  return withServers(async (servers) => {
    const ingress = await startIngress(servers)
    const worker = await startWorker(servers)
    await runLoad({ port: ingress.port, bodies: bodiesOf(2000, `warm/${round}`), ratePerSecond: RATE, connections: 64 })
    await untilDrained(servers)
    const consumer = startConsumer(servers, { FROM: 'now' })
    await consumer.ready
    // It begins to listen.
    await pause(2_000)
    const bodies = bodiesOf(Math.ceil(RATE * seconds), `${round}`)
    await runLoad({ port: ingress.port, bodies, ratePerSecond: RATE, connections: 64 })
    await untilDrained(servers)
    consumer.end()
    const figures = await consumer.figures()
    await Promise.all([ingress.stop(), worker.stop()])
    return figures
  })
}

function catchUpTable(results: ReadonlyMap<string, readonly ConsumerFigures[]>): Table {
  return {
    title: 'A consumer that is behind',
    columns: ['behind by', 'changes', 'changes/s', 'batches', 'largest batch', 'peak heap MB', 'peak memory MB'],
    rows: [...results].map(([name, all]) => [
      name,
      all[0]?.changes ?? 0,
      withSpread(all.map(({ changes, seconds }) => changes / seconds)),
      all[0]?.batches ?? 0,
      all[0]?.largestBatch ?? 0,
      medianOf(all.map(({ peakHeapMb }) => peakHeapMb)),
      medianOf(all.map(({ peakMemoryMb }) => peakMemoryMb)),
    ]),
  }
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN
}

function followTable(all: readonly ConsumerFigures[]): Table {
  return {
    title: `From a change to the reader, ${RATE} events/s`,
    columns: ['changes', 'p50 ms', 'p99 ms', 'most ms'],
    rows: [
      [
        all[0]?.changes ?? 0,
        ...[0.5, 0.99, 1].map((part) => withSpread(all.map(({ delaysMs }) => rounded(percentile(delaysMs, part), 1)))),
      ],
    ],
  }
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const behind = Math.ceil(BEHIND / shorter)
  const transactions = Math.ceil(behind / CHANGES_EACH)
  const small = { transactions, changesEach: CHANGES_EACH, transactionsPerTick: TRANSACTIONS_PER_TICK }
  const behindBy = await inTurns(
    [
      {
        name: 'small ticks',
        run: () => catchUp(({ postgres }) => fillSmallTicks(postgres, small), transactions * CHANGES_EACH),
      },
      { name: 'one tick', run: () => catchUp(({ postgres }) => fillOneTick(postgres, behind), behind) },
    ],
    { rounds, say },
  )
  const followed = await inTurns(
    [{ name: 'follow', run: (round: number) => follow(SECONDS / shorter, round) }],
    { rounds, say },
  ) // prettier-ignore
  const delays = followed.get('follow') ?? []
  return {
    tables: [catchUpTable(behindBy), followTable(delays)],
    measurements: {
      catchUp: Object.fromEntries(behindBy),
      follow: delays.map(({ delaysMs, ...rest }) => ({ ...rest, p50: percentile(delaysMs, 0.5), p99: percentile(delaysMs, 0.99) })), // prettier-ignore
    },
  }
}

/** How fast does a consumer of the change feed catch up, and how soon does it see a change? */
export const reader: Question = {
  name: 'reader',
  summary: 'How fast does a consumer of the change feed catch up, and how soon does it see a change?',
  answer,
}
