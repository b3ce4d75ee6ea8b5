import { findInquiry, type InquiryDetails, type ResourceRow, type VerificationRow } from '@persona-ingest/database'
import type { Command } from 'commander'
import { CommandFailure } from '../runner/command-failure.ts'
import { documentLines, isMembers, printJson } from '../output/json-document.ts'

import { maskRow } from '../masking.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, revealOption } from '../runner/options.ts'
import type { Output } from '../output/output.ts'
import { printHeading, printPairs, printTable, type Cell } from '../output/table.ts'
import { withDatabase } from '../runner/servers.ts'

type Options = { readonly json?: true; readonly reveal?: true }

type Pair = readonly [name: string, cell: Cell]

/** A column and its value; a document as its members under the column's name. */
function pairsOf([column, value]: readonly [string, unknown]): readonly Pair[] {
  const isDocument = Array.isArray(value) || isMembers(value)
  return isDocument ? documentLines(value, column) : [[column, value as Cell]]
}

function printRow(output: Output, row: object): void {
  printPairs(output, Object.entries(row).flatMap(pairsOf))
}

function printVerifications(output: Output, verifications: readonly VerificationRow[]): void {
  if (verifications.length === 0) return
  printHeading(output, `verifications (${verifications.length})`)
  printTable(
    output,
    ['id', 'type', 'status', 'created_at', 'completed_at', 'event_name'],
    verifications.map((row) => [row.id, row.type, row.status, row.created_at, row.completed_at, row.event_name]),
  )
}

function printResources(output: Output, resources: readonly ResourceRow[]): void {
  if (resources.length === 0) return
  printHeading(output, `resources (${resources.length})`)
  printTable(
    output,
    ['id', 'type', 'status', 'event_name', 'event_created_at'],
    resources.map((row) => [row.id, row.type, row.status, row.event_name, row.event_created_at]),
  )
}

function printDetails(output: Output, { inquiry, verifications, resources }: InquiryDetails): void {
  printRow(output, inquiry)
  printVerifications(output, verifications)
  printResources(output, resources)
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
      const found = await withDatabase(deps, async (prisma) => await findInquiry(prisma, id))
      if (found === null) throw new CommandFailure(`inquiry not found: ${id}`)
      const details = options.reveal ? found : mask(found)
      if (options.json) return printJson(deps.output, details)
      printDetails(deps.output, details)
    })
}
