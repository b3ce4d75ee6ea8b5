import { erasureSubjects, type Database, type ErasureSubject } from '@persona-ingest/database'
import { eraseFound, findErasure, type ErasureResult } from '@persona-ingest/operations'
import { Option, type Command } from 'commander'
import { printJson } from '../output/print.ts'
import { statusLine } from '../output/progress.ts'
import { erasureDocument, failOnNothingFound, failOnUndecrypted, printErasure } from '../reports/erasure.ts'
import { expectConfirmable, expectConfirmed, type ConfirmationOptions, type OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, subject } from '../runner/options.ts'
import { withDatabase } from '../runner/run-command.ts'

type Options = ConfirmationOptions & { readonly as?: ErasureSubject; readonly reason?: string }

async function erase(deps: OpsDeps, database: Database, asked: string, options: Options): Promise<ErasureResult> {
  const { as, reason = null, dryRun, yes } = options
  const line = statusLine(deps.output)
  const onSearch = (scannedEvents: number) => line.show(`${scannedEvents} events looked through`)
  const onErase = (done: number, total: number) => line.show(`${done} of ${total} erased`)
  const { targets, undecrypted } = await findErasure(database, asked, { as, onProgress: onSearch }).finally(line.clear)
  if (targets === null) return failOnNothingFound(undecrypted.byTable())
  const run = async (isDryRun: boolean) => {
    const settings = { reason, isDryRun, onProgress: onErase }
    return await eraseFound(database, { targets, undecrypted }, settings).finally(line.clear)
  }
  if (dryRun) return run(true)
  if (!yes) {
    printErasure(deps.output, await run(true))
    await expectConfirmed(deps, 'Erase this for good?', 'erased')
  }
  return run(false)
}

/** `erase`: erases on request, as finally as a redaction by the provider. */
export function addErase(program: Command, deps: OpsDeps): void {
  program
    .command('erase')
    .description('erase for good what is stored of an inquiry, an account with its inquiries, or a reference id')
    .argument('<subject>', 'id of an inquiry, of an account or of any other object, or a reference id', subject)
    .addOption(new Option('--as <kind>', 'what the subject is, where it could be several').choices(erasureSubjects))
    .option('--reason <text>', 'why, kept with the record of the erasure: name no person')
    .option('--dry-run', 'show what would be erased, and erase nothing')
    .option('--yes', 'do not ask')
    .addOption(jsonOption())
    .action(async (asked: string, options: Options, command: Command) => {
      expectConfirmable(deps, options, command, 'erased')
      const result = await withDatabase(deps, async (database) => await erase(deps, database, asked, options))
      if (options.json) printJson(deps.output, erasureDocument(result))
      else printErasure(deps.output, result)
      failOnUndecrypted(result.undecrypted, options.dryRun ? 'all else would be erased' : 'all else was erased')
    })
}
