import { rebuildProjections } from '@persona-ingest/operations'
import { Option, type Command } from 'commander'
import { printJson } from '../output/print.ts'
import { failOnDifferences, printRebuild, rebuildDocument } from '../reports/maintenance.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { addAuditOptions, jsonOption, wholeNumber, type AuditOptions } from '../runner/options.ts'
import { maintain } from '../runner/run-command.ts'

type Options = AuditOptions & {
  readonly verify?: true
  readonly restart?: true
  readonly limit: number
  readonly json?: true
}

async function run(deps: OpsDeps, options: Options): Promise<void> {
  const { verify: isVerifying = false, restart: isRestarting = false, limit: maxNamed, json } = options
  const result = await maintain(deps, options, async (context, progress) =>
    rebuildProjections(context, {
      isVerifying,
      isRestarting,
      maxNamed,
      onProgress: ({ phase, done, total }) =>
        progress.show({ done, total, of: phase === 'events' ? 'events read' : 'rows compared' }),
    }),
  )
  if (json) printJson(deps.output, rebuildDocument(result, isVerifying))
  else printRebuild(deps.output, result, isVerifying)
  failOnDifferences(result, isVerifying)
}

/** `rebuild`: makes the current-state tables again from the event log, or only compares them with it. */
export function addRebuild(program: Command, deps: OpsDeps): void {
  const command = program
    .command('rebuild')
    .description('make the current-state tables again from the event log, while events arrive')
    .option('--verify', 'only compare, and exit with 1 on a difference')
    .option('--restart', 'begin anew where an earlier one did not come to its end (default: go on with it)')
    .addOption(
      new Option('--limit <n>', 'differences named at most; all are counted')
        .default(1_000)
        .argParser(wholeNumber(0, 10_000_000)),
    )
  addAuditOptions(command)
    .addOption(jsonOption())
    .action(async (options: Options) => await run(deps, options))
}
