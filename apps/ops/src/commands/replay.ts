import type { EventSelection } from '@persona-ingest/database'
import { replayEvents, type ReplayEventsOptions } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { printJson } from '../output/print.ts'
import { failOnEventsReplay, printEventsReplay } from '../reports/replay.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import {
  actorOf,
  addAuditOptions,
  addEventSelection,
  eventSelection,
  jsonOption,
  rateOption,
  waitOption,
  type AuditOptions,
  type EventSelectionOptions,
} from '../runner/options.ts'
import { longWork, withServers } from '../runner/run-command.ts'

type Options = AuditOptions &
  EventSelectionOptions & { readonly rate: number; readonly wait?: true; readonly json?: true }

async function run(deps: OpsDeps, selection: EventSelection, options: Options): Promise<void> {
  const operation = { actor: actorOf(options), selection, rate: options.rate, wait: options.wait === true }
  const { report, isInterrupted } = await withServers(deps, async (servers) =>
    longWork(deps, async (signal, progress) => {
      const onProgress: ReplayEventsOptions['onProgress'] = ({ enqueued, selected }) =>
        progress.show({ done: enqueued, total: selected, of: 'events enqueued' })
      const replayed = await replayEvents({ ...servers, ...operation, signal, onProgress })
      return { report: replayed, isInterrupted: signal.aborted }
    }),
  )
  if (options.json) printJson(deps.output, report)
  else printEventsReplay(deps.output, report)
  failOnEventsReplay(report, isInterrupted)
}

/** `replay`: events of the log are processed again; the log itself stays as it is. */
export function addReplay(program: Command, deps: OpsDeps): void {
  const command = program.command('replay').description('process events of the log again; returns when enqueued')
  addAuditOptions(addEventSelection(command))
    .addOption(rateOption())
    .addOption(waitOption())
    .addOption(jsonOption())
    .action(async (ids: readonly string[], options: Options, command: Command) => {
      await run(deps, eventSelection(ids, options, command, deps.now()), options)
    })
}
