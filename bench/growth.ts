import { storedEvents } from './harness/backlog.ts'
import { fillLog } from './harness/fill-log.ts'
import { rounded, withSpread, medianOf } from './harness/numbers.ts'
import type { Question, QuestionOptions } from './harness/question.ts'
import { withServers } from './harness/servers.ts'
import { bodiesOf, drainOurs, type Drain } from './store.ts'

/** Events in the log before the drain; `BENCH_GROWTH=0,10000000` for others. */
const SIZES = (process.env['BENCH_GROWTH'] ?? '0,100000,1000000').split(',').map(Number)
const BACKLOG = 30_000

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const results = new Map<number, Drain[]>()
  for (const size of SIZES.map((each) => Math.ceil(each / shorter))) {
    await withServers(async (servers) => {
      await fillLog(servers, size, say)
      const drains: Drain[] = []
      // The first round warms the caches of a log that nobody has read.
      for (let round = 0; round <= rounds; round += 1) {
        const drain = await drainOurs(servers, bodiesOf(BACKLOG / shorter, `${size}/${round}`))
        if (round > 0) drains.push(drain)
        say(`${size} events, round ${round}: ${drain.perSecond.toFixed(0)}/s, ${await storedEvents(servers)} stored`)
      }
      results.set(size, drains)
    })
  }
  const rate = (drains: readonly Drain[]): number => medianOf(drains.map((drain) => drain.perSecond))
  const empty = rate([...results.values()][0] ?? [])
  return {
    tables: [
      {
        title: `Drain of ${BACKLOG / shorter} events on a log that holds others`,
        columns: ['events in the log', 'stored/s', 'of the first'],
        rows: [...results].map(([size, drains]) => [
          size,
          withSpread(drains.map((drain) => drain.perSecond)),
          rounded(rate(drains) / empty),
        ]),
      },
    ],
    measurements: Object.fromEntries(results),
  }
}

/** Does it get slower as the log grows? */
export const growth: Question = { name: 'growth', summary: 'Does it get slower as the log grows?', answer }
