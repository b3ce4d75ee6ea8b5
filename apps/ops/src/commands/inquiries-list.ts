import { listInquiries, type InquiryCursor, type InquiryPage, type VerificationSummary } from '@persona-ingest/database'
import { maskRow } from '@persona-ingest/operations'
import type { Environment } from '@persona-ingest/persona'
import type { Command } from 'commander'
import type { Output } from '../output/output.ts'
import { printJson, printColumns } from '../output/print.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { environmentOption, inquiryCursor, jsonOption, limitOption, revealOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = {
  readonly status?: string
  readonly environment?: Environment
  readonly referenceId?: string
  readonly account?: string
  readonly limit: number
  readonly before?: InquiryCursor
  readonly json?: true
  readonly reveal?: true
}

const COLUMNS = [
  ...(['id', 'status', 'environment', 'reference_id', 'created_at'] as const),
  ...(['decisioned_at', 'event_name', 'event_created_at', 'verifications'] as const),
]

function summaryText({ statuses }: VerificationSummary): string | null {
  const parts = Object.entries(statuses).map(([status, count]) => `${count} ${status}`)
  return parts.length === 0 ? null : parts.join(', ')
}

function printInquiries(output: Output, { inquiries, next }: InquiryPage): void {
  if (inquiries.length === 0) return output.note('no inquiries')
  const rows = inquiries.map((row) => ({ ...row, verifications: summaryText(row.verifications) }))
  printColumns(output, rows, COLUMNS)
  if (next !== null) output.note(`more: --before ${next}`)
}

/** `inquiries list`: a page of inquiries, those with the newest event first. */
export function addInquiriesList(inquiries: Command, deps: OpsDeps): void {
  inquiries
    .command('list')
    .description('list inquiries, those with the newest event first')
    .option('--status <status>', 'only those with this status, such as approved')
    .addOption(environmentOption())
    .option('--reference-id <id>', 'only those with this reference id')
    .option('--account <id>', 'only those of this account (act_...)')
    .addOption(limitOption())
    .option('--before <cursor>', 'go on after an earlier page, which named this cursor', inquiryCursor)
    .addOption(revealOption())
    .addOption(jsonOption())
    .action(async (options: Options) => {
      const { account: accountId, reveal, json, ...filter } = options
      const page = await withDatabase(deps, async (database) => await listInquiries(database, { ...filter, accountId }))
      const inquiries = reveal ? page.inquiries : page.inquiries.map(maskRow)
      if (json) return printJson(deps.output, { inquiries, next: page.next })
      printInquiries(deps.output, { inquiries, next: page.next })
    })
}
