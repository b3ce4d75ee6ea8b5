import { listOperations, type OperationPage, type OperationRow } from '@persona-ingest/database'
import { Option, type Command } from 'commander'
import type { Output } from '../output/output.ts'
import { printJson, printTable } from '../output/print.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, limitOption, rowId } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = { readonly limit: number; readonly before?: string; readonly json?: true }

const MAX_LISTED = 3

function valueText(value: unknown): string {
  if (!Array.isArray(value)) return String(value)
  const more = value.length > MAX_LISTED ? `, ... (${value.length})` : ''
  return `${value.slice(0, MAX_LISTED).join(', ')}${more}`
}

function membersText(members: Readonly<Record<string, unknown>>): string {
  return Object.entries(members)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${valueText(value)}`)
    .join('; ')
}

function rowOf(row: OperationRow) {
  const { id, started_at: startedAt, operator, command, outcome, reason } = row
  return [id, startedAt, operator, command, membersText(row.arguments), outcome, membersText(row.counts), reason]
}

function print(output: Output, { operations, next }: OperationPage): void {
  if (operations.length === 0) return output.note('no operations')
  printTable(
    output,
    ['id', 'started_at', 'operator', 'command', 'arguments', 'outcome', 'counts', 'reason'],
    operations.map(rowOf),
  )
  if (next !== null) output.note(`more: --before ${next}`)
}

/** `operations list`: the record of operations. A row without an outcome still runs, or its process died. */
export function addOperationsList(operations: Command, deps: OpsDeps): void {
  operations
    .command('list')
    .description('list who changed what is stored, when and why, the newest first')
    .addOption(limitOption())
    .addOption(new Option('--before <id>', 'only operations older than this one').argParser(rowId))
    .addOption(jsonOption())
    .action(async ({ json, ...filter }: Options) => {
      const page = await withDatabase(deps, async (database) => await listOperations(database, filter))
      if (json) printJson(deps.output, page)
      else print(deps.output, page)
    })
}
