import type { DeadLetterSelection } from '@persona-ingest/database'
import { replayDeadLetters, type ReplayDeadLettersOptions } from '@persona-ingest/operations'
import type { Command } from 'commander'
import { printJson } from '../output/print.ts'
import { deadLettersProgress, failOnDeadLettersReplay, printDeadLettersReplay } from '../reports/replay.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import {
  actorOf,
  addAuditOptions,
  addDeadLetterSelection,
  deadLetterSelection,
  jsonOption,
  rateOption,
  waitOption,
  type AuditOptions,
  type DeadLetterSelectionOptions,
} from '../runner/options.ts'
import { longWork, withServers } from '../runner/run-command.ts'

type Options = DeadLetterSelectionOptions &
  AuditOptions & { readonly rate: number; readonly wait?: true; readonly json?: true }

async function run(deps: OpsDeps, selection: DeadLetterSelection, options: Options): Promise<void> {
  const { rate, wait = false, json } = options
  const operation = { actor: actorOf(options), selection, rate, wait, nowMs: deps.now() }
  const { report, isInterrupted } = await withServers(deps, async (servers) =>
    longWork(deps, async (signal, progress) => {
      const onProgress: ReplayDeadLettersOptions['onProgress'] = (state) => progress.say(deadLettersProgress(state))
      const replayed = await replayDeadLetters({ ...servers, ...operation, signal, onProgress })
      return { report: replayed, isInterrupted: signal.aborted }
    }),
  )
  if (json) printJson(deps.output, report)
  else printDeadLettersReplay(deps.output, report)
  failOnDeadLettersReplay(report, isInterrupted)
}

/** `dead-letters replay`: the kept bytes go into the queue as if they had been delivered again. */
export function addDeadLettersReplay(deadLetters: Command, deps: OpsDeps): void {
  const command = deadLetters
    .command('replay')
    .description('put dead letters into the queue again; returns when enqueued')
  addAuditOptions(addDeadLetterSelection(command))
    .addOption(rateOption())
    .addOption(waitOption())
    .addOption(jsonOption())
    .action(async (ids: readonly string[] | undefined, options: Options, command: Command) => {
      await run(deps, deadLetterSelection(ids, options, command), options)
    })
}
