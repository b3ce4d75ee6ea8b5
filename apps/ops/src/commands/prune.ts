import {
  countPrunable,
  MaintenanceBusyError,
  prune,
  type OperationCounts,
  type PruneReport,
  type RetentionLimits,
} from '@persona-ingest/database'
import { Option, type Command } from 'commander'
import { addAuditOptions, audited, type AuditOptions } from '../audit.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import { untilInterrupted } from '../runner/long-work.ts'
import { printJson } from '../output/json-document.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, wholeNumber } from '../runner/options.ts'
import type { Output } from '../output/output.ts'
import { progressBar } from '../output/progress.ts'
import { printPairs } from '../output/table.ts'
import { withDatabase } from '../runner/servers.ts'

const kinds = ['events', 'dead-letters'] as const

type Options = AuditOptions & {
  readonly olderThan: number
  readonly only?: (typeof kinds)[number]
  readonly dryRun?: true
  readonly yes?: true
  readonly json?: true
}

const DAY_MS = 86_400_000

function limitsOf(deps: OpsDeps, { olderThan, only }: Options): RetentionLimits {
  const before = new Date(deps.now() - olderThan * DAY_MS)
  return {
    eventsBefore: only === 'dead-letters' ? null : before,
    lettersBefore: only === 'events' ? null : before,
  }
}

/** What goes wrong in our own words, where it has any. */
async function inWords<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof MaintenanceBusyError) throw new CommandFailure(error.message, { cause: error })
    if (signal?.aborted) throw new CommandFailure('interrupted; run it again to go on', { cause: error })
    throw error
  }
}

async function act(deps: OpsDeps, limits: RetentionLimits, counts: OperationCounts): Promise<PruneReport> {
  const { DATABASE_URL: databaseUrl, STORAGE_ENCRYPTION_KEYS: encryptionKeys } = deps.readEnv([
    'DATABASE_URL',
    'STORAGE_ENCRYPTION_KEYS',
  ])
  const interruption = untilInterrupted()
  const progress = progressBar(deps.output)
  const { signal } = interruption
  try {
    const onProgress = ({ phase, done, total }: { phase: string; done: number; total: number }) => {
      // Kept also where it is cut short: what is done is done.
      counts[phase === 'events' ? 'events' : 'dead_letters'] = done
      progress.show({ done, total, of: `${phase} pruned` })
    }
    return await inWords(prune({ databaseUrl, encryptionKeys, ...limits, signal, onProgress }), signal)
  } finally {
    progress.clear()
    interruption.dispose()
  }
}

function print(output: Output, report: PruneReport, isDryRun: boolean): void {
  const kept = isDryRun ? 'would lose' : 'lost'
  printPairs(output, [
    [`events that ${kept} their payload`, report.events],
    [`dead letters that ${isDryRun ? 'would go' : 'went'}`, report.deadLetters],
  ])
}

async function run(deps: OpsDeps, options: Options): Promise<void> {
  const { reason, by, olderThan, only, dryRun = false } = options
  const limits = limitsOf(deps, options)
  const report = await withDatabase(deps, async (prisma) => {
    if (dryRun || !options.yes) {
      const { DATABASE_URL: databaseUrl } = deps.readEnv(['DATABASE_URL'])
      const prunable = await inWords(countPrunable(databaseUrl, limits))
      if (dryRun) return prunable
      print(deps.output, prunable, true)
      if (!(await deps.confirm?.('Prune this for good?'))) throw new CommandFailure('nothing was pruned')
    }
    const operation = { command: 'prune', arguments: { older_than_days: olderThan, only: only ?? null }, reason, by }
    return await audited(prisma, operation, async (counts) => await act(deps, limits, counts))
  })
  if (options.json) {
    printJson(deps.output, {
      dry_run: dryRun,
      older_than_days: olderThan,
      events: report.events,
      dead_letters: report.deadLetters,
      unreadable_event_ids: report.unreadableIds,
    })
  } else print(deps.output, report, dryRun)
  const { unreadableIds } = report
  if (unreadableIds.length === 0) return
  throw new CommandFailure(
    `${unreadableIds.length} events were changed by hand, can't be read, and stay as they are: ${unreadableIds.slice(0, 5).join(', ')}`,
  )
}

/** `prune`: payloads of events, and resolved dead letters, that have come of age. */
export function addPrune(program: Command, deps: OpsDeps): void {
  const command = program
    .command('prune')
    .description('take the payloads of old events, and old dead letters that were replayed or discarded; rows stay')
    .addOption(
      new Option('--older-than <days>', 'events received, dead letters resolved so many days ago, or more')
        .argParser(wholeNumber(1, 36_500))
        .makeOptionMandatory(),
    )
    .addOption(new Option('--only <kind>', 'only these').choices(kinds))
    .option('--dry-run', 'count what would go, and take nothing')
    .option('--yes', 'do not ask')
  addAuditOptions(command)
    .addOption(jsonOption())
    .action(async (options: Options, command: Command) => {
      if (!options.dryRun && !options.yes && (deps.confirm === null || options.json))
        command.error('error: what is pruned can not be had back: give --yes, or --dry-run', { exitCode: 2 })
      await run(deps, options)
    })
}
