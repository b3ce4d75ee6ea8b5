import { readTimeline, type TimelineRow } from '@persona-ingest/database'
import type { Command } from 'commander'
import type { Output } from '../output/output.ts'
import { printJson, printTable } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

/** A row of the timeline with the inquiry's status before it, by the clock; null before the first status. */
type TimelineStep = TimelineRow & { readonly previous_status: string | null; readonly status_changed: boolean }

/** Follows the inquiry's status through its events. */
export function timelineSteps(rows: readonly TimelineRow[]): readonly TimelineStep[] {
  let current: string | null = null
  return rows.map((row) => {
    const previous = current
    current = row.status ?? current
    return { ...row, previous_status: previous, status_changed: row.status !== null && row.status !== previous }
  })
}

function statusText(step: TimelineStep): string | null {
  if (!step.status_changed || step.previous_status === null) return step.status
  return `${step.previous_status} → ${step.status}`
}

function printTimeline(output: Output, steps: readonly TimelineStep[]): void {
  printTable(
    output,
    ['event_created_at', 'event_name', 'status', 'received_at', 'order', 'event_id'],
    steps.map((step) => [
      step.event_created_at,
      step.event_name,
      statusText(step),
      step.received_at,
      step.out_of_order ? 'out of order' : '',
      step.event_id,
    ]),
  )
}

/** `timeline`: an inquiry's events in the order of the clock. */
export function addTimeline(program: Command, deps: OpsDeps): void {
  program
    .command('timeline')
    .description("show an inquiry's events in the order in which they happened")
    .argument('<inquiry>', 'id of the inquiry (inq_...)')
    .addOption(jsonOption())
    .action(async (inquiryId: string, options: { readonly json?: true }) => {
      const rows = await withDatabase(deps, async (database) => await readTimeline(database, inquiryId))
      if (rows.length === 0) throw new CommandFailure(`no events found of inquiry: ${inquiryId}`)
      const steps = timelineSteps(rows)
      if (options.json) return printJson(deps.output, { inquiry_id: inquiryId, events: steps })
      printTimeline(deps.output, steps)
    })
}
