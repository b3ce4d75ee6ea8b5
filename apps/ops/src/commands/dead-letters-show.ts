import { findDeadLetter } from '@persona-ingest/database'
import { showDeadLetter, type ShownDeadLetter } from '@persona-ingest/operations'
import { Option, type Command } from 'commander'
import { printRawBytes, type Output } from '../output/output.ts'
import { documentLines, printHeading, printJson, printPairs } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { deadLetterId, jsonOption, revealOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = { readonly json?: true; readonly reveal?: true; readonly raw?: true }

function printDeadLetter(output: Output, { body, meaning, advice, ...columns }: ShownDeadLetter): void {
  printPairs(output, Object.entries(columns))
  printHeading(output, 'what is wrong')
  output.write(`${meaning}\n`)
  printHeading(output, 'what to do')
  output.write(`${advice}\n`)
  printHeading(output, 'body')
  if (body === null) output.write('not shown: no JSON; --raw writes its bytes\n')
  else printPairs(output, documentLines(body))
}

/** `dead-letters show`: a dead letter, the meaning of its reason and advice; or the bytes of its body. */
export function addDeadLettersShow(deadLetters: Command, deps: OpsDeps): void {
  deadLetters
    .command('show')
    .description('show a dead letter, what is wrong with it and what to do')
    .argument('<id>', 'id of the dead letter, a whole number', deadLetterId)
    .addOption(revealOption())
    .addOption(new Option('--raw', 'write the bytes of its body, not masked').conflicts('json'))
    .addOption(jsonOption())
    .action(async (id: string, { raw, reveal, json }: Options) => {
      const row = await withDatabase(deps, async (database) => await findDeadLetter(database, id))
      if (row === null) throw new CommandFailure(`dead letter not found: ${id}`)
      if (raw) return printRawBytes(deps.output, row.body)
      const shown = showDeadLetter(row, reveal === true)
      if (json) return printJson(deps.output, shown)
      printDeadLetter(deps.output, shown)
    })
}
