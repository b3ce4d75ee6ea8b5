import type { EncryptReport } from '@persona-ingest/database'
import type { PruneResult, RebuildResult } from '@persona-ingest/operations'
import { formatDuration, type Output } from '../output/output.ts'
import { printPairs, printTable } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'

/** What `rebuild --json` prints. */
export function rebuildDocument({ report, differences }: RebuildResult, isVerifying: boolean): object {
  const { named, counts, total } = differences
  return {
    verified_only: isVerifying,
    resumed: report.isResumed,
    events: report.events,
    rows: report.rows,
    faulty_events: report.faultyEvents,
    differences: { total, ...counts, named },
    held_off_ms: Math.round(report.heldOffMs),
  }
}

/** Prints the differences and what was compared. */
export function printRebuild(output: Output, { report, differences }: RebuildResult, isVerifying: boolean): void {
  const { named, total } = differences
  if (named.length > 0) {
    printTable(
      output,
      ['table', 'id', 'difference', 'columns'],
      named.map(({ table, id, kind, columns }) => [table, id, kind, columns.join(', ') || null]),
    )
    if (total > named.length) output.note(`and ${total - named.length} more: --limit names them`)
    output.write('\n')
  }
  const rows = Object.entries(report.rows).map(([table, count]) => `${count} ${table}`)
  printPairs(output, [
    ['events read', report.events],
    ['compared', rows.join(', ')],
    [isVerifying ? 'differences' : 'mended', isVerifying ? total : total - report.faultyEvents],
    ...(isVerifying ? [] : ([['ingestion held off', formatDuration(report.heldOffMs)]] as const)),
  ])
}

/** Throws a `CommandFailure` on differences. Rows can be mended from the log; the log itself can't be mended. */
export function failOnDifferences({ report, differences }: RebuildResult, isVerifying: boolean): void {
  const { faultyEvents } = report
  const rows = differences.total - faultyEvents
  const failures = [
    ...(isVerifying && rows > 0 ? [`${rows} rows are not what the event log says; \`ops rebuild\` mends them`] : []),
    ...(faultyEvents > 0
      ? [`${faultyEvents} events of the log were changed by hand: the rows of their objects are left as they are`]
      : []),
  ]
  if (failures.length > 0) throw new CommandFailure(failures.join('; '))
}

/** What `prune --json` prints. */
export function pruneDocument(report: PruneResult, olderThanDays: number, isDryRun: boolean): object {
  return {
    dry_run: isDryRun,
    older_than_days: olderThanDays,
    events: report.events,
    dead_letters: report.deadLetters,
    changes: report.changes,
    unreadable_event_ids: report.unreadableIds,
  }
}

export function printPrune(output: Output, report: PruneResult, isDryRun: boolean): void {
  printPairs(output, [
    [`events that ${isDryRun ? 'would lose' : 'lost'} their payload`, report.events],
    [`dead letters that ${isDryRun ? 'would go' : 'went'}`, report.deadLetters],
    [`changes that ${isDryRun ? 'would go' : 'went'}`, report.changes === 0 ? 0 : `about ${report.changes}`],
  ])
}

/** Throws a `CommandFailure` that names events that stay because they can't be read. */
export function failOnUnreadable({ unreadableIds }: PruneResult): void {
  if (unreadableIds.length === 0) return
  throw new CommandFailure(
    `${unreadableIds.length} events were changed by hand, can't be read, and stay as they are: ${unreadableIds.slice(0, 5).join(', ')}`,
  )
}

export function printEncrypted(output: Output, report: EncryptReport): void {
  printPairs(
    output,
    Object.entries(report).map(([column, count]) => [`encrypted in ${column}`, count]),
  )
}
