import { deadLetterStates, listDeadLetters, type DeadLetterPage, type DeadLetterState } from '@persona-ingest/database'
import { Option, type Command } from 'commander'
import type { Output } from '../output/output.ts'
import { printJson, printColumns } from '../output/print.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { deadLetterId, jsonOption, limitOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = {
  readonly state: DeadLetterState | 'all'
  readonly reason?: string
  readonly limit: number
  readonly before?: string
  readonly json?: true
}

const COLUMNS = [
  ...(['id', 'state', 'reason', 'event_id', 'environment', 'attempts'] as const),
  ...(['body_bytes', 'received_at', 'failed_at'] as const),
]

function printDeadLetters(output: Output, { deadLetters, next }: DeadLetterPage): void {
  if (deadLetters.length === 0) return output.note('no dead letters')
  printColumns(output, deadLetters, COLUMNS)
  if (next !== null) output.note(`more: --before ${next}`)
}

/** `dead-letters list`: a page of dead letters without their bodies, the newest first. */
export function addDeadLettersList(deadLetters: Command, deps: OpsDeps): void {
  deadLetters
    .command('list')
    .description('list dead letters, the newest first')
    .addOption(new Option('--state <state>', 'only this state').choices([...deadLetterStates, 'all']).default('open'))
    .option('--reason <code>', 'only this reason, such as INVALID_JSON')
    .addOption(limitOption())
    .option('--before <id>', 'only dead letters older than this one', deadLetterId)
    .addOption(jsonOption())
    .action(async ({ json, state, ...options }: Options) => {
      const filter = { ...options, state: state === 'all' ? undefined : state }
      const page = await withDatabase(deps, async (database) => await listDeadLetters(database, filter))
      if (json) return printJson(deps.output, { dead_letters: page.deadLetters, next: page.next })
      printDeadLetters(deps.output, page)
    })
}
