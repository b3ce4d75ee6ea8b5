import {
  MaintenanceBusyError,
  sealStored,
  UnopenedLettersError,
  type OperationCounts,
  type SealReport,
} from '@persona-ingest/database'
import type { Command } from 'commander'
import { addAuditOptions, audited, type AuditOptions } from '../audit.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import { untilInterrupted } from '../runner/long-work.ts'
import { printJson } from '../output/json-document.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption } from '../runner/options.ts'
import { progressBar } from '../output/progress.ts'
import { printPairs } from '../output/table.ts'
import { withDatabase } from '../runner/servers.ts'

type Options = AuditOptions & { readonly json?: true }

async function act(deps: OpsDeps, counts: OperationCounts): Promise<SealReport> {
  const { DATABASE_URL: databaseUrl, STORAGE_ENCRYPTION_KEYS: encryptionKeys } = deps.readEnv([
    'DATABASE_URL',
    'STORAGE_ENCRYPTION_KEYS',
  ])
  if (encryptionKeys.length === 0) throw new CommandFailure('STORAGE_ENCRYPTION_KEYS is not set: nothing to seal with')
  const interruption = untilInterrupted()
  const progress = progressBar(deps.output)
  const { signal } = interruption
  try {
    const report = await sealStored({
      databaseUrl,
      encryptionKeys,
      signal,
      onProgress: ({ column, done, total }) => progress.show({ done, total, of: `rows read for ${column}` }),
    })
    Object.assign(counts, report)
    return report
  } catch (error) {
    if (error instanceof MaintenanceBusyError || error instanceof UnopenedLettersError)
      throw new CommandFailure(error.message, { cause: error })
    if (signal.aborted) throw new CommandFailure('interrupted; run it again to go on', { cause: error })
    throw error
  } finally {
    progress.clear()
    interruption.dispose()
  }
}

async function run(deps: OpsDeps, { reason, by, json }: Options): Promise<void> {
  const report = await withDatabase(deps, (prisma) =>
    audited(prisma, { command: 'seal', arguments: {}, reason, by }, async (counts) => await act(deps, counts)),
  )
  if (json) printJson(deps.output, { sealed: report })
  else
    printPairs(
      deps.output,
      Object.entries(report).map(([column, count]) => [`sealed in ${column}`, count]),
    )
}

/** `seal`: everything personal that is stored under the newest key, while events arrive. */
export function addSeal(program: Command, deps: OpsDeps): void {
  const command = program
    .command('seal')
    .alias('encrypt')
    .description('bring all personal documents that are stored under the first of STORAGE_ENCRYPTION_KEYS')
  addAuditOptions(command)
    .addOption(jsonOption())
    .action(async (options: Options) => await run(deps, options))
}
