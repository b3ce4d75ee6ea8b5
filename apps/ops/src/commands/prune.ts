import { previewPrune, prunedKinds, pruneStored, type PruneResult } from '@persona-ingest/operations'
import { Option, type Command } from 'commander'
import { printJson } from '../output/print.ts'
import { failOnUnreadable, printPrune, pruneDocument } from '../reports/maintenance.ts'
import { expectConfirmable, expectConfirmed, type ConfirmationOptions, type OpsDeps } from '../runner/ops-deps.ts'
import { addAuditOptions, jsonOption, wholeNumber, type AuditOptions } from '../runner/options.ts'
import { maintain, withDatabase } from '../runner/run-command.ts'

type Options = AuditOptions &
  ConfirmationOptions & { readonly olderThan: number; readonly only?: (typeof prunedKinds)[number] }

async function prune(deps: OpsDeps, options: Options): Promise<PruneResult> {
  const { olderThan: olderThanDays, only = null, dryRun, yes } = options
  const { CHANGES_KEEP_DAYS: changesKeepDays } = deps.readEnv(['CHANGES_KEEP_DAYS'])
  const request = { olderThanDays, only, changesKeepDays, nowMs: deps.now() }
  if (dryRun || !yes) {
    const prunable = await withDatabase(deps, async (database, { databaseUrl }) =>
      previewPrune({ database, databaseUrl }, request),
    )
    if (dryRun) return prunable
    printPrune(deps.output, prunable, true)
    await expectConfirmed(deps, 'Prune this for good?', 'pruned')
  }
  return await maintain(deps, options, async (context, progress) =>
    pruneStored(context, {
      ...request,
      onProgress: ({ phase, done, total }) => progress.show({ done, total, of: `${phase} pruned` }),
    }),
  )
}

/** `prune`: takes payloads of old events, old resolved dead letters, and changes older than `CHANGES_KEEP_DAYS`. */
export function addPrune(program: Command, deps: OpsDeps): void {
  const command = program
    .command('prune')
    .description(
      'take the payloads of old events, old resolved dead letters, and changes past CHANGES_KEEP_DAYS; rows stay',
    )
    .addOption(
      new Option('--older-than <days>', 'events received, dead letters resolved so many days ago, or more')
        .argParser(wholeNumber(1, 36_500))
        .makeOptionMandatory(),
    )
    .addOption(new Option('--only <kind>', 'only these').choices(prunedKinds))
    .option('--dry-run', 'count what would go, and take nothing')
    .option('--yes', 'do not ask')
  addAuditOptions(command)
    .addOption(jsonOption())
    .action(async (options: Options, command: Command) => {
      expectConfirmable(deps, options, command, 'pruned')
      const { olderThan, dryRun: isDryRun = false } = options
      const report = await prune(deps, options)
      if (options.json) printJson(deps.output, pruneDocument(report, olderThan, isDryRun))
      else printPrune(deps.output, report, isDryRun)
      failOnUnreadable(report)
    })
}
