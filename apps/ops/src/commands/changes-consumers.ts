import { readFeedStatus, type ConsumerStatus } from '@persona-ingest/database'
import { consumersDocument } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { formatDuration, type Output } from '../output/output.ts'
import { printJson, printTable } from '../output/print.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

function rowOf(consumer: ConsumerStatus) {
  const { name, tick, isExpired, lagChanges, isLagExact, lagMs, updatedAt, notifications } = consumer
  const behind = lagChanges === null ? null : `${isLagExact ? '' : 'about '}${lagChanges}`
  const behindFor = lagMs === null ? null : formatDuration(lagMs)
  const { pending, failed } = notifications
  return [name, String(tick), isExpired ? 'EXPIRED' : 'follows', behind, behindFor, pending, failed, updatedAt]
}

const HEAD = ['name', 'tick', 'state', 'changes_behind', 'behind_for', 'to_send', 'failed', 'updated_at']

function print(output: Output, consumers: readonly ConsumerStatus[]): void {
  if (consumers.length === 0) return output.note('no consumers')
  printTable(output, HEAD, consumers.map(rowOf))
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
