import type { BodyOptions } from './harness/bodies.ts'
import { medianOf, rounded, withSpread } from './harness/numbers.ts'
import type { Question, QuestionOptions } from './harness/question.ts'
import { inTurns } from './harness/rounds.ts'
import { withServers } from './harness/servers.ts'
import { bodiesOf, drainOurs, type Drain } from './store.ts'

const BACKLOG = 30_000
const CASES: Readonly<Record<string, Partial<BodyOptions>>> = {
  'as it comes': {},
  '10 % duplicates': { duplicates: 0.1 },
  'everything out of order': { order: 'shuffled' },
  'all about one inquiry': { isHot: true },
  'one inquiry in twenty redacted': { redactedEvery: 20 },
  'every inquiry redacted, out of order': { redactedEvery: 1, order: 'shuffled' },
}

async function answer({ rounds, shorter, say }: QuestionOptions) {
  const results = await inTurns<Drain>(
    Object.entries(CASES).map(([name, more]) => ({
      name,
      run: (round) => withServers((servers) => drainOurs(servers, bodiesOf(BACKLOG / shorter, `${round}`, more))),
    })),
    { rounds, say },
  )
  const rate = (drains: readonly Drain[]): number => medianOf(drains.map((drain) => drain.perSecond))
  const usual = rate(results.get('as it comes') ?? [])
  return {
    tables: [
      {
        title: `Drain of ${BACKLOG / shorter} deliveries`,
        columns: ['load', 'settled/s', 'of the usual'],
        rows: [...results].map(([name, drains]) => [
          name,
          withSpread(drains.map((drain) => drain.perSecond)),
          rounded(rate(drains) / usual),
        ]),
      },
    ],
    measurements: Object.fromEntries(results),
  }
}

/** What do the worst cases of reconciliation cost? */
export const hot: Question = { name: 'hot', summary: 'What do the worst cases of reconciliation cost?', answer }
