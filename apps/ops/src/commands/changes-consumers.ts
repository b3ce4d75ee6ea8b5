import { readFeedStatus, type ConsumerStatus } from '@persona-ingest/database'
import { consumersDocument } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { formatDuration, type Output } from '../output/output.ts'
import { printJson, printTable } from '../output/print.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

function rowOf({ name, tick, isExpired, lagChanges, isLagExact, lagMs, updatedAt }: ConsumerStatus) {
  const behind = lagChanges === null ? null : `${isLagExact ? '' : 'about '}${lagChanges}`
  return [name, String(tick), isExpired ? 'EXPIRED' : 'follows', behind, lagMs && formatDuration(lagMs), updatedAt]
}

function print(output: Output, consumers: readonly ConsumerStatus[]): void {
  if (consumers.length === 0) return output.note('no consumers')
  printTable(output, ['name', 'tick', 'state', 'changes_behind', 'behind_for', 'updated_at'], consumers.map(rowOf))
}

/** `changes consumers`: how far each reader of the change feed is. */
export function addChangesConsumers(changes: Command, deps: OpsDeps): void {
  changes
    .command('consumers')
    .description('list who reads the changes, and how far each is behind; those furthest behind first')
    .addOption(jsonOption())
    .action(async ({ json }: { readonly json?: true }) => {
      const { consumers } = await withDatabase(deps, async (database) => await readFeedStatus(database))
      if (json) printJson(deps.output, { consumers: consumersDocument(consumers) })
      else print(deps.output, consumers)
    })
}
