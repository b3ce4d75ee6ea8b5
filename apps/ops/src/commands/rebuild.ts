import {
  MaintenanceBusyError,
  rebuild,
  SealedOtherwiseError,
  type OperationCounts,
  type RebuildReport,
  type RowDifference,
} from '@persona-ingest/database'
import { Option, type Command } from 'commander'
import { addAuditOptions, audited, type AuditOptions } from '../audit.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import { formatDuration } from '../output/text.ts'
import { untilInterrupted, type Interruption } from '../runner/long-work.ts'
import { printJson } from '../output/json-document.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, wholeNumber } from '../runner/options.ts'
import type { Output } from '../output/output.ts'
import { progressBar, type ProgressBar } from '../output/progress.ts'
import { printPairs, printTable } from '../output/table.ts'
import { withDatabase } from '../runner/servers.ts'

type Options = AuditOptions & {
  readonly verify?: true
  readonly restart?: true
  readonly limit: number
  readonly json?: true
}

/** The differences, of which only the first are kept; all are counted. */
class Differences {
  readonly named: RowDifference[] = []
  readonly counts: OperationCounts = { missing: 0, unexpected: 0, different: 0 }
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  add(difference: RowDifference): void {
    this.counts[difference.kind] = (this.counts[difference.kind] ?? 0) + 1
    if (this.named.length < this.#limit) this.named.push(difference)
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0)
  }
}

type Work = Options & { readonly interruption: Interruption; readonly progress: ProgressBar }

async function work(deps: OpsDeps, { verify, restart, interruption, progress }: Work, found: Differences) {
  const { DATABASE_URL: databaseUrl, STORAGE_ENCRYPTION_KEYS: encryptionKeys } = deps.readEnv([
    'DATABASE_URL',
    'STORAGE_ENCRYPTION_KEYS',
  ])
  try {
    return await rebuild({
      databaseUrl,
      encryptionKeys,
      isVerifying: verify === true,
      restart,
      signal: interruption.signal,
      onProgress: ({ phase, done, total }) => progress.show({ done, total, of: `${phase} ${phase === 'events' ? 'read' : 'compared'}` }), // prettier-ignore
      onDifference: (difference) => found.add(difference),
    })
  } catch (error) {
    if (error instanceof MaintenanceBusyError || error instanceof SealedOtherwiseError)
      throw new CommandFailure(error.message, { cause: error })
    if (interruption.signal.aborted) throw new CommandFailure('interrupted; run it again to go on', { cause: error })
    throw error
  } finally {
    progress.clear()
  }
}

function print(output: Output, report: RebuildReport, found: Differences, isVerifying: boolean): void {
  if (found.named.length > 0) {
    printTable(
      output,
      ['table', 'id', 'difference', 'columns'],
      found.named.map(({ table, id, kind, columns }) => [table, id, kind, columns.join(', ') || null]),
    )
    if (found.total > found.named.length)
      output.note(`and ${found.total - found.named.length} more: --limit names them`)
    output.write('\n')
  }
  const rows = Object.entries(report.rows).map(([table, count]) => `${count} ${table}`)
  printPairs(output, [
    ['events read', report.events],
    ['compared', rows.join(', ')],
    [isVerifying ? 'differences' : 'mended', isVerifying ? found.total : found.total - report.faultyEvents],
    ...(isVerifying ? [] : ([['ingestion held off', formatDuration(report.heldOffMs)]] as const)),
  ])
}

function documentOf(report: RebuildReport, found: Differences, isVerifying: boolean): object {
  return {
    verified_only: isVerifying,
    resumed: report.isResumed,
    events: report.events,
    rows: report.rows,
    faulty_events: report.faultyEvents,
    differences: { total: found.total, ...found.counts, named: found.named },
    held_off_ms: Math.round(report.heldOffMs),
  }
}

/** Rows can be mended from the log; the log itself from nothing that we hold. */
function failOnFindings({ faultyEvents }: RebuildReport, found: Differences, isVerifying: boolean): void {
  const rows = found.total - faultyEvents
  const failures = [
    ...(isVerifying && rows > 0 ? [`${rows} rows are not what the event log says; \`ops rebuild\` mends them`] : []),
    ...(faultyEvents > 0
      ? [`${faultyEvents} events of the log were changed by hand: the rows of their objects are left as they are`]
      : []),
  ]
  if (failures.length > 0) throw new CommandFailure(failures.join('; '))
}

async function run(deps: OpsDeps, options: Options): Promise<void> {
  const { reason, by, verify = false, restart = false } = options
  const found = new Differences(options.limit)
  const interruption = untilInterrupted()
  const progress = progressBar(deps.output)
  const act = async () => await work(deps, { ...options, interruption, progress }, found)
  try {
    const report = await withDatabase(deps, async (prisma) => {
      // To compare changes nothing, so there is nothing to record.
      if (verify) return await act()
      return await audited(prisma, { command: 'rebuild', arguments: { restart }, reason, by }, async (counts) => {
        const rebuilt = await act()
        Object.assign(counts, { events: rebuilt.events, ...found.counts })
        return rebuilt
      })
    })
    if (options.json) printJson(deps.output, documentOf(report, found, verify))
    else print(deps.output, report, found, verify)
    failOnFindings(report, found, verify)
  } finally {
    interruption.dispose()
  }
}

/** `rebuild`: the current-state tables again from the event log, while events arrive; or only the comparison. */
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
