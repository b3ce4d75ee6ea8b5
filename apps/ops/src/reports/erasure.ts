import type { ErasureReport, ErasureTargets } from '@persona-ingest/database'
import type { Output } from '../output/output.ts'
import { printHeading, printPairs, printTable } from '../output/table.ts'

/** What does not open, so that it could not be searched and erased. */
export type UnopenedIds = {
  readonly event_ids: readonly string[]
  readonly resource_ids: readonly string[]
  readonly dead_letter_ids: readonly string[]
}

/** What an erasure was asked to reach and what it took: ids and counts, and nothing that was told of a person. */
export type ErasureSummary = {
  readonly isDryRun: boolean
  readonly reason: string | null
  readonly targets: ErasureTargets
  readonly report: ErasureReport
  readonly unopened: UnopenedIds
}

function countsOf({ report }: ErasureSummary) {
  return {
    events: report.eventIds.length,
    inquiries: report.inquiryIds.length,
    verifications: report.verificationIds.length,
    resources: report.resourceIds.length,
    dead_letters: report.letterIds.length,
  }
}

/** What `erase --json` prints. */
export function erasureDocument(summary: ErasureSummary): object {
  const { isDryRun, reason, targets, report, unopened } = summary
  return {
    dry_run: isDryRun,
    subject: targets.subject,
    reason,
    targets: {
      inquiry_ids: targets.inquiryIds,
      account_ids: targets.accountIds,
      other_ids: targets.others.map(({ id }) => id),
      dead_letter_ids: targets.letterIds,
    },
    counts: countsOf(summary),
    erased: {
      event_ids: report.eventIds,
      inquiry_ids: report.inquiryIds,
      verification_ids: report.verificationIds,
      resource_ids: report.resourceIds,
      dead_letter_ids: report.letterIds,
    },
    erasure_ids: report.erasureIds,
    ...(Object.values(unopened).some((ids) => ids.length > 0) ? { not_decrypted: unopened } : {}),
  }
}

/** Prints what an erasure reaches and how much of it held more than its skeleton. */
export function printErasure(output: Output, summary: ErasureSummary): void {
  const { isDryRun, reason, targets } = summary
  const targetRows = [
    ...targets.inquiryIds.map((id) => ['inquiry', id]),
    ...targets.accountIds.map((id) => ['account', id]),
    ...targets.others.map(({ id }) => ['object', id]),
    ...targets.letterIds.map((id) => ['dead letter', id]),
  ]
  printPairs(output, [
    ['asked for by', targets.subject],
    ['reason', reason],
  ])
  printHeading(output, 'what it reaches, with all that belongs to it')
  printTable(output, ['type', 'id'], targetRows)
  printHeading(output, isDryRun ? 'what would be erased' : 'what was erased')
  printTable(output, ['table', 'rows'], Object.entries(countsOf(summary)))
}
