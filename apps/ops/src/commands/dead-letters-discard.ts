import { discardDeadLetters } from '@persona-ingest/database'
import type { Command } from 'commander'
import { addAuditOptions, audited, type AuditOptions } from '../audit.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import { printJson } from '../output/json-document.ts'
import {
  addLetterSelection,
  jsonOption,
  letterSelection,
  type LetterSelectionOptions,
  selectionArguments,
} from '../runner/options.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'

import { withDatabase } from '../runner/servers.ts'

type Options = LetterSelectionOptions & AuditOptions & { readonly json?: true }

/** `dead-letters discard`: nobody means to process these any more; the bytes stay until they are pruned. */
export function addDeadLettersDiscard(deadLetters: Command, deps: OpsDeps): void {
  const command = deadLetters.command('discard').description('mark open dead letters as not to be processed any more')
  addAuditOptions(addLetterSelection(command))
    .addOption(jsonOption())
    .action(async (ids: readonly string[] | undefined, options: Options, command: Command) => {
      const selection = letterSelection(ids, options, command)
      const { reason, by, json } = options
      const operation = {
        command: 'dead-letters discard',
        arguments: selectionArguments(selection),
        reason,
        by,
      } as const
      const result = await withDatabase(deps, async (prisma) =>
        audited(prisma, operation, async (counts) => {
          const discarded = await discardDeadLetters(prisma, selection)
          counts['discarded'] = discarded.discarded
          return discarded
        }),
      )
      const { discarded, notOpen, missing } = result
      if (json) printJson(deps.output, { discarded, not_open: notOpen, missing })
      else deps.output.write(`${discarded} discarded\n`)
      if (!json && notOpen.length > 0) deps.output.note(`not open, left as they are: ${notOpen.join(', ')}`)
      if (missing.length > 0) throw new CommandFailure(`dead letters not found: ${missing.join(', ')}`)
    })
}
