import { listFailedNotifications, type FailedNotificationPage } from '@persona-ingest/database'
import type { Command } from 'commander'
import type { Output } from '../output/output.ts'
import { printColumns, printJson } from '../output/print.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, limitOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = { readonly consumer?: string; readonly limit: number; readonly json?: true }

const COLUMNS = [
  ...(['object_id', 'consumer', 'version', 'status', 'changed_at'] as const),
  ...(['attempts', 'first_attempt_at', 'last_error', 'last_status'] as const),
]

function printFailed(output: Output, { failed, hasMore }: FailedNotificationPage): void {
  if (failed.length === 0) return output.note('no failed notifications')
  printColumns(output, failed, COLUMNS)
  if (hasMore) output.note('there are more: --limit, or send these again')
}

/** `changes failed`: objects whose newest change the notifier gave up. */
export function addChangesFailed(changes: Command, deps: OpsDeps): void {
  changes
    .command('failed')
    .description('list objects whose newest change was given up, the newest change first')
    .option('--consumer <name>', 'only those of this consumer')
    .addOption(limitOption())
    .addOption(jsonOption())
    .action(async ({ json, ...filter }: Options) => {
      const page = await withDatabase(deps, async (database) => await listFailedNotifications(database, filter))
      if (json) printJson(deps.output, { failed: page.failed, has_more: page.hasMore })
      else printFailed(deps.output, page)
    })
}
