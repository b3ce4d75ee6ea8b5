import type { Command } from 'commander'
import { addAuditOptions, audited, type AuditOptions } from '../audit.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import { untilInterrupted } from '../runner/long-work.ts'
import { printJson } from '../output/json-document.ts'
import {
  addLetterSelection,
  jsonOption,
  letterSelection,
  type LetterSelectionOptions,
  rateOption,
  selectionArguments,
  waitOption,
} from '../runner/options.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'

import type { Output } from '../output/output.ts'
import { progressBar } from '../output/progress.ts'
import { Pacer } from '../replay/pacer.ts'

import { replayLetters, type LettersReport } from '../replay/replay-letters.ts'
import { printTable } from '../output/table.ts'
import { withServers } from '../runner/servers.ts'

type Options = LetterSelectionOptions &
  AuditOptions & { readonly rate: number; readonly wait?: true; readonly json?: true }

function print(output: Output, report: LettersReport): void {
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

function judge(report: LettersReport, isInterrupted: boolean): void {
  const { missing, refused, failed_again: failedAgain } = report
  const faults = [
    ...(isInterrupted ? ['interrupted; run it again, what is in the queue already adds nothing'] : []),
    ...(missing.length > 0 ? [`dead letters not found: ${missing.join(', ')}`] : []),
    ...(refused.length > 0 ? [`${refused.length} dead letters can't be replayed`] : []),
    ...((failedAgain?.length ?? 0) > 0 ? [`${failedAgain?.length} dead letters failed again`] : []),
  ]
  if (faults.length > 0) throw new CommandFailure(faults.join('; '))
}

async function run(deps: OpsDeps, selection: ReturnType<typeof letterSelection>, options: Options): Promise<void> {
  const { reason, by, rate, wait = false } = options
  const operation = {
    command: 'dead-letters replay',
    arguments: { ...selectionArguments(selection), rate },
    reason,
    by,
  } as const
  const { signal, dispose } = untilInterrupted()
  const progress = progressBar(deps.output)
  try {
    const report = await withServers(deps, async ({ prisma, producer }) =>
      audited(prisma, operation, async (counts) => {
        const pacer = new Pacer(rate)
        const servers = { prisma, producer, selection, pacer, wait, signal, counts }
        return await replayLetters({ ...servers, nowMs: deps.now(), onProgress: progress.say })
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

/** `dead-letters replay`: the kept bytes go into the queue as if they had been delivered again. */
export function addDeadLettersReplay(deadLetters: Command, deps: OpsDeps): void {
  const command = deadLetters
    .command('replay')
    .description('put dead letters into the queue again; returns when enqueued')
  addAuditOptions(addLetterSelection(command))
    .addOption(rateOption())
    .addOption(waitOption())
    .addOption(jsonOption())
    .action(async (ids: readonly string[] | undefined, options: Options, command: Command) => {
      await run(deps, letterSelection(ids, options, command), options)
    })
}
