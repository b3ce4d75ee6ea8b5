import type { EventSelection } from '@persona-ingest/database'
import { Option, type Command } from 'commander'
import { addAuditOptions, audited, type AuditOptions } from '../audit.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import { untilInterrupted } from '../runner/long-work.ts'
import { printJson } from '../output/json-document.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, rateOption, time, waitOption } from '../runner/options.ts'
import type { Output } from '../output/output.ts'
import { progressBar } from '../output/progress.ts'
import { Pacer } from '../replay/pacer.ts'

import { replayEvents, type EventsReport } from '../replay/replay-events.ts'
import { printPairs } from '../output/table.ts'
import { withServers } from '../runner/servers.ts'

type Options = AuditOptions & {
  readonly inquiry?: string
  readonly since?: Date
  readonly until?: Date
  readonly rate: number
  readonly wait?: true
  readonly json?: true
}

function selectionOf(ids: readonly string[], options: Options, nowMs: number, command: Command): EventSelection {
  const { inquiry: inquiryId, since, until } = options
  const isRange = since !== undefined || until !== undefined
  if ([ids.length > 0, inquiryId !== undefined || isRange].filter(Boolean).length !== 1) {
    command.error('error: say which events: ids, or --inquiry and --since/--until', { exitCode: 2 })
  }
  if (ids.length > 0) return { ids: [...new Set(ids)] }
  // What arrives while the command runs is not to be chased.
  return { inquiryId, since, until: until ?? new Date(nowMs) }
}

function print(output: Output, report: EventsReport): void {
  printPairs(output, [
    ['selected', report.selected],
    ['enqueued', report.enqueued],
    ...(report.applied === null ? [] : ([['applied', report.applied]] as const)),
  ])
}

const NAMED = 20

function someOf(ids: readonly string[]): string {
  const more = ids.length > NAMED ? ` and ${ids.length - NAMED} more` : ''
  return `${ids.slice(0, NAMED).join(', ')}${more}`
}

function judge(report: EventsReport, isInterrupted: boolean): void {
  const { selected, missing, not_applied: notApplied } = report
  const faults = [
    ...(isInterrupted ? ['interrupted; run it again, what is in the queue already adds nothing'] : []),
    ...(missing.length > 0 ? [`events not found: ${someOf(missing)}`] : []),
    ...(selected === 0 && missing.length === 0 ? ['no such events'] : []),
    ...((notApplied?.length ?? 0) > 0 ? [`not applied, see the worker's log: ${someOf(notApplied ?? [])}`] : []),
  ]
  if (faults.length > 0) throw new CommandFailure(faults.join('; '))
}

async function run(deps: OpsDeps, selection: EventSelection, options: Options): Promise<void> {
  const { reason, by, rate, wait = false } = options
  const operation = { command: 'replay', arguments: { ...selection, rate }, reason, by } as const
  const { signal, dispose } = untilInterrupted()
  const progress = progressBar(deps.output)
  try {
    const report = await withServers(deps, async ({ prisma, producer }) =>
      audited(prisma, operation, async (counts) => {
        const pacer = new Pacer(rate)
        return await replayEvents({
          prisma,
          producer,
          selection,
          pacer,
          wait,
          signal,
          counts,
          onProgress: progress.show,
        })
      }),
    )
    progress.clear()
    if (options.json) printJson(deps.output, report)
    else print(deps.output, report)
    judge(report, signal.aborted)
  } finally {
    dispose()
  }
}

/** `replay`: events of the log are processed again; the log itself stays as it is. */
export function addReplay(program: Command, deps: OpsDeps): void {
  const command = program
    .command('replay')
    .description('process events of the log again; returns when enqueued')
    .argument('[event...]', 'ids of events (evt_...)')
    .option('--inquiry <id>', 'the events of this inquiry (inq_...) and of its objects')
    .addOption(new Option('--since <time>', 'received at this time (ISO 8601 with a zone) or later').argParser(time))
    .addOption(new Option('--until <time>', 'received before this time').argParser(time))
  addAuditOptions(command)
    .addOption(rateOption())
    .addOption(waitOption())
    .addOption(jsonOption())
    .action(async (ids: readonly string[], options: Options, command: Command) => {
      await run(deps, selectionOf(ids, options, deps.now(), command), options)
    })
}
