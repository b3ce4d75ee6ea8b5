import type { DeadLettersReplayProgress, DeadLettersReplayReport, EventsReplayReport } from '@persona-ingest/operations'
import type { Output } from '../output/output.ts'
import { printPairs, printTable } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'

const INTERRUPTED = 'interrupted; run it again, what is in the queue already adds nothing'

/** Ids that a failure names at most. */
const MAX_NAMED = 20

function named(ids: readonly string[]): string {
  const more = ids.length > MAX_NAMED ? ` and ${ids.length - MAX_NAMED} more` : ''
  return `${ids.slice(0, MAX_NAMED).join(', ')}${more}`
}

export function printEventsReplay(output: Output, report: EventsReplayReport): void {
  printPairs(output, [
    ['selected', report.selected],
    ['enqueued', report.enqueued],
    ...(report.applied === null ? [] : ([['applied', report.applied]] as const)),
  ])
}

/** Throws a `CommandFailure` where the replay did less than was asked for. */
export function failOnEventsReplay(report: EventsReplayReport, isInterrupted: boolean): void {
  const { selected, missing, not_applied: notApplied } = report
  const faults = [
    ...(isInterrupted ? [INTERRUPTED] : []),
    ...(missing.length > 0 ? [`events not found: ${named(missing)}`] : []),
    ...(selected === 0 && missing.length === 0 ? ['no such events'] : []),
    ...((notApplied?.length ?? 0) > 0 ? [`not applied, see the worker's log: ${named(notApplied ?? [])}`] : []),
  ]
  if (faults.length > 0) throw new CommandFailure(faults.join('; '))
}

/** How far a replay of dead letters is, on one line. */
export function deadLettersProgress({ phase, done, enqueued }: DeadLettersReplayProgress): string {
  return phase === 'read'
    ? `${done} dead letters read, ${enqueued} enqueued`
    : `${done}/${enqueued} dead letters processed`
}

export function printDeadLettersReplay(output: Output, report: DeadLettersReplayReport): void {
  const applied = new Set(report.applied)
  const failed = new Set(report.failed_again)
  const stateOf = (id: string) => (applied.has(id) ? 'replayed' : failed.has(id) ? 'failed again' : 'enqueued')
  const rows = [
    ...report.enqueued.map(({ id, event_id: eventId }) => [id, stateOf(id), eventId]),
    ...report.already_replayed.map((id) => [id, 'replayed already', null]),
    ...report.refused.map(({ id, why }) => [id, 'left as it is', why]),
  ]
  if (rows.length === 0) return output.note('no dead letters to replay')
  printTable(output, ['id', 'state', 'event or reason'], rows)
}

/** Throws a `CommandFailure` where the replay did less than was asked for. */
export function failOnDeadLettersReplay(report: DeadLettersReplayReport, isInterrupted: boolean): void {
  const { missing, refused, failed_again: failedAgain } = report
  const faults = [
    ...(isInterrupted ? [INTERRUPTED] : []),
    ...(missing.length > 0 ? [`dead letters not found: ${missing.join(', ')}`] : []),
    ...(refused.length > 0 ? [`${refused.length} dead letters can't be replayed`] : []),
    ...((failedAgain?.length ?? 0) > 0 ? [`${failedAgain?.length} dead letters failed again`] : []),
  ]
  if (faults.length > 0) throw new CommandFailure(faults.join('; '))
}
