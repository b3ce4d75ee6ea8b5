import { discardDeadLetters } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { printJson } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import {
  actorOf,
  addAuditOptions,
  addDeadLetterSelection,
  deadLetterSelection,
  jsonOption,
  type AuditOptions,
  type DeadLetterSelectionOptions,
} from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = DeadLetterSelectionOptions & AuditOptions & { readonly json?: true }

/** `dead-letters discard`: the bytes stay until they are pruned. */
export function addDeadLettersDiscard(deadLetters: Command, deps: OpsDeps): void {
  const command = deadLetters.command('discard').description('mark open dead letters as not to be processed any more')
  addAuditOptions(addDeadLetterSelection(command))
    .addOption(jsonOption())
    .action(async (ids: readonly string[] | undefined, options: Options, command: Command) => {
      const selection = deadLetterSelection(ids, options, command)
      const actor = actorOf(options)
      const { discarded, notOpen, missing } = await withDatabase(deps, async (database) =>
        discardDeadLetters({ database, actor, selection }),
      )
      if (options.json) printJson(deps.output, { discarded, not_open: notOpen, missing })
      else deps.output.write(`${discarded} discarded\n`)
      if (!options.json && notOpen.length > 0) deps.output.note(`not open, left as they are: ${notOpen.join(', ')}`)
      if (missing.length > 0) throw new CommandFailure(`dead letters not found: ${missing.join(', ')}`)
    })
}
