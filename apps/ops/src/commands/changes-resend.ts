import { resendNotifications } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { printJson } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { actorOf, addAuditOptions, jsonOption, type AuditOptions } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = AuditOptions & { readonly all?: true; readonly consumer?: string; readonly json?: true }

/** `changes resend`: begins the attempts anew; a notifier sends within seconds. */
export function addChangesResend(changes: Command, deps: OpsDeps): void {
  const command = changes
    .command('resend')
    .description('send objects again whose newest change was given up')
    .argument('[object...]', 'ids of objects that `changes failed` lists')
    .option('--all', 'all that are listed')
    .option('--consumer <name>', 'only those of this consumer')
  addAuditOptions(command)
    .addOption(jsonOption())
    .action(async (objectIds: readonly string[], options: Options, command: Command) => {
      const { all: isAll, consumer, json } = options
      if (objectIds.length > 0 === (isAll === true))
        command.error('error: say which objects: ids or --all', { exitCode: 2 })
      const selection = isAll ? { isAll } : { objectIds }
      const { resent, notListed } = await withDatabase(deps, async (database) =>
        resendNotifications({ database, actor: actorOf(options), consumer, selection }),
      )
      if (json) printJson(deps.output, { resent, not_listed: notListed })
      else deps.output.write(`${resent.length} to be sent again\n`)
      if (notListed.length > 0) throw new CommandFailure(`not listed as failed: ${notListed.join(', ')}`)
    })
}
