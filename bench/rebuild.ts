import { fillLog } from './harness/fill-log.ts'
import { rounded } from './harness/numbers.ts'
import type { Question, QuestionOptions } from './harness/question.ts'
import { runOps, type OpsRun } from './harness/run-ops.ts'
import { withServers, type Servers } from './harness/servers.ts'

/** Events in the log; `BENCH_REBUILD=200000` for others. */
const SIZE = Number(process.env['BENCH_REBUILD'] ?? 1_000_000)

type Document = {
  readonly events: number
  readonly rows: Readonly<Record<string, number>>
  readonly differences: { readonly total: number; readonly named: readonly { readonly id: string }[] }
  readonly held_off_ms: number
}
type Measured = OpsRun & { readonly document: Document; readonly command: string }

/** One row is changed by hand: what it takes to find it, and to mend it. */
async function tamper({ postgres }: Servers): Promise<string> {
  const [row] = await postgres.sql(
    `UPDATE inquiries SET status = 'tampered' WHERE id = (SELECT id FROM inquiries ORDER BY id LIMIT 1) RETURNING id`,
  )
  return String(row?.['id'])
}

async function measure(servers: Servers, args: readonly string[], expected: readonly string[]): Promise<Measured> {
  const run = await runOps(servers, args)
  const document = run.document as Document
  const found = document.differences.named.map(({ id }) => id)
  if (String(found) !== String(expected)) throw new Error(`Expected to find ${expected.join()}, found ${found.join()}`)
  return { ...run, document, command: `ops ${args.join(' ')}` }
}

async function answer({ shorter, say }: QuestionOptions) {
  const size = Math.ceil(SIZE / shorter)
  const runs: Measured[] = []
  await withServers(async (servers) => {
    await fillLog(servers, size, say)
    const id = await tamper(servers)
    for (const [args, expected] of [
      [['rebuild', '--verify'], [id]],
      [['rebuild'], [id]],
      [['rebuild', '--verify'], []],
    ] as const) {
      runs.push(await measure(servers, args, expected))
      say(`${args.join(' ')}: ${runs.at(-1)?.seconds.toFixed(0)} s`)
    }
  })
  return {
    tables: [
      {
        title: `A log of ${size} events, one row of the tables changed by hand`,
        columns: ['command', 'seconds', 'events/s', 'peak memory MB', 'rows compared', 'differences', 'held off ms'],
        rows: runs.map(
          ({ command, seconds, peakMb, document: { events, rows, differences, held_off_ms: heldOff } }) => [
            command,
            rounded(seconds, 1),
            rounded(events / seconds, 0),
            rounded(peakMb, 0),
            Object.values(rows).reduce((sum, count) => sum + count, 0),
            differences.total,
            heldOff,
          ],
        ),
      },
    ],
    measurements: runs,
  }
}

/** How long does a rebuild take, and how much memory? */
export const rebuild: Question = {
  name: 'rebuild',
  summary: 'How long does a rebuild take, and how much memory?',
  answer,
}
