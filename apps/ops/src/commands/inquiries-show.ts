import { findInquiry, type InquiryDetails } from '@persona-ingest/database'
import { isMembers, maskRow } from '@persona-ingest/operations'
import type { Command } from 'commander'
import type { Output } from '../output/output.ts'
import { documentLines, printHeading, printJson, printPairs, printColumns, type Cell } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, revealOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = { readonly json?: true; readonly reveal?: true }

const VERIFICATION_COLUMNS = ['id', 'type', 'status', 'created_at', 'completed_at', 'event_name'] as const
const RESOURCE_COLUMNS = ['id', 'type', 'status', 'event_name', 'event_created_at'] as const

/** A column and its value; the members of a document are named after the column. */
function pairsOf([column, value]: readonly [string, unknown]): readonly (readonly [name: string, cell: Cell])[] {
  const isDocument = Array.isArray(value) || isMembers(value)
  return isDocument ? documentLines(value, column) : [[column, value as Cell]]
}

function printRow(output: Output, row: object): void {
  printPairs(output, Object.entries(row).flatMap(pairsOf))
}

function printDetails(output: Output, { inquiry, verifications, resources }: InquiryDetails): void {
  printRow(output, inquiry)
  if (verifications.length > 0) printHeading(output, `verifications (${verifications.length})`)
  if (verifications.length > 0) printColumns(output, verifications, VERIFICATION_COLUMNS)
  if (resources.length > 0) printHeading(output, `resources (${resources.length})`)
  if (resources.length > 0) printColumns(output, resources, RESOURCE_COLUMNS)
  for (const row of [...verifications, ...resources]) {
    printHeading(output, `${row.type ?? 'object'} ${row.id}`)
    printRow(output, row)
  }
}

function mask({ inquiry, verifications, resources }: InquiryDetails): InquiryDetails {
  return { inquiry: maskRow(inquiry), verifications: verifications.map(maskRow), resources: resources.map(maskRow) }
}

/** `inquiries show`: an inquiry, its verifications, and the other objects that belong to it. */
export function addInquiriesShow(inquiries: Command, deps: OpsDeps): void {
  inquiries
    .command('show')
    .description('show an inquiry, its verifications and its other objects')
    .argument('<id>', 'id of the inquiry (inq_...)')
    .addOption(revealOption())
    .addOption(jsonOption())
    .action(async (id: string, options: Options) => {
      const found = await withDatabase(deps, async (database) => await findInquiry(database, id))
      if (found === null) throw new CommandFailure(`inquiry not found: ${id}`)
      const details = options.reveal ? found : mask(found)
      if (options.json) return printJson(deps.output, details)
      printDetails(deps.output, details)
    })
}
