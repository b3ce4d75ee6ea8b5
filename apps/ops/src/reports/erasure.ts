import { MAX_UNDECRYPTED_IDS, type ErasureResult, type UndecryptedIds } from '@persona-ingest/operations'
import type { Output } from '../output/output.ts'
import { printHeading, printPairs, printTable } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'

function countsOf({ report }: ErasureResult) {
  return {
    events: report.eventIds.length,
    inquiries: report.inquiryIds.length,
    verifications: report.verificationIds.length,
    resources: report.resourceIds.length,
    dead_letters: report.deadLetterIds.length,
  }
}

/** What `erase --json` prints. */
export function erasureDocument(result: ErasureResult): object {
  const { isDryRun, reason, targets, report, undecrypted } = result
  return {
    dry_run: isDryRun,
    subject: targets.subject,
    reason,
    targets: {
      inquiry_ids: targets.inquiryIds,
      account_ids: targets.accountIds,
      other_ids: targets.others.map(({ id }) => id),
      dead_letter_ids: targets.deadLetterIds,
    },
    counts: countsOf(result),
    erased: {
      event_ids: report.eventIds,
      inquiry_ids: report.inquiryIds,
      verification_ids: report.verificationIds,
      resource_ids: report.resourceIds,
      dead_letter_ids: report.deadLetterIds,
    },
    erasure_ids: report.erasureIds,
    ...(Object.values(undecrypted).some((ids) => ids.length > 0) ? { not_decrypted: undecrypted } : {}),
  }
}

/** Prints what an erasure reaches and how much of it held more than its skeleton. */
export function printErasure(output: Output, result: ErasureResult): void {
  const { isDryRun, reason, targets } = result
  const targetRows = [
    ...targets.inquiryIds.map((id) => ['inquiry', id]),
    ...targets.accountIds.map((id) => ['account', id]),
    ...targets.others.map(({ id }) => ['object', id]),
    ...targets.deadLetterIds.map((id) => ['dead letter', id]),
  ]
  printPairs(output, [
    ['asked for by', targets.subject],
    ['reason', reason],
  ])
  printHeading(output, 'what it reaches, with all that belongs to it')
  printTable(output, ['type', 'id'], targetRows)
  printHeading(output, isDryRun ? 'what would be erased' : 'what was erased')
  printTable(output, ['table', 'rows'], Object.entries(countsOf(result)))
}

const SHOWN_IDS = 10
const TABLE_NAMES = { event_ids: 'events', resource_ids: 'rows of resources', dead_letter_ids: 'dead letters' } as const

/** Throws a `CommandFailure` that names rows that no key decrypts, after what happened `otherwise`. */
export function failOnUndecrypted(undecrypted: UndecryptedIds, otherwise: string): void {
  const names = Object.entries(TABLE_NAMES).flatMap(([member, name]) => {
    const ids = undecrypted[member as keyof UndecryptedIds]
    const shown = ids.slice(0, SHOWN_IDS).join(', ')
    const count = ids.length >= MAX_UNDECRYPTED_IDS ? `${MAX_UNDECRYPTED_IDS} or more` : ids.length
    return ids.length === 0 ? [] : [`${count} ${name} (${shown}${ids.length > SHOWN_IDS ? ', ...' : ''})`]
  })
  if (names.length === 0) return
  const advice = 'what they hold of the person is still stored; check STORAGE_ENCRYPTION_KEYS and run it again'
  throw new CommandFailure(`not decrypted: ${names.join(', ')}; ${otherwise}; ${advice}`)
}

/** Throws a `CommandFailure` that says whether rows could not be searched. */
export function failOnNothingFound(undecrypted: UndecryptedIds): never {
  failOnUndecrypted(undecrypted, 'nothing was found of what was asked for')
  throw new CommandFailure('nothing is stored of what was asked for')
}
