import { readIngestStatus } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { printJson } from '../output/print.ts'
import { failOnAway, printStatus } from '../reports/status.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption } from '../runner/options.ts'
import { withServers } from '../runner/run-command.ts'

/** `status`: the state of queue and database; in an outage the part of the server that answers. */
export function addStatus(program: Command, deps: OpsDeps): void {
  program
    .command('status')
    .description('show queue depth, oldest waiting age, lag and dead letters')
    .addOption(jsonOption())
    .action(async (options: { readonly json?: true }) => {
      const status = await withServers(deps, async ({ producer, database }) =>
        readIngestStatus(producer, database, deps.now()),
      )
      if (options.json) printJson(deps.output, status)
      else printStatus(deps.output, status)
      failOnAway(status)
    })
}
