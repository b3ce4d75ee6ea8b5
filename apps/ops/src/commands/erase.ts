import {
  AmbiguousSubjectError,
  eraseTargets,
  erasureSubjects,
  findErasureTargets,
  type ErasureSubject,
  type ErasureTargets,
  type PrismaClient,
} from '@persona-ingest/database'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { CommandFailure } from '../command-failure.ts'
import { erasureDocument, printErasure, type ErasureSummary } from '../erasure-summary.ts'
import { printJson } from '../json-document.ts'
import type { OpsDeps } from '../ops-deps.ts'
import { jsonOption } from '../option-values.ts'
import { statusLine } from '../status-line.ts'
import { withDatabase } from '../with-database.ts'

type Options = {
  readonly as?: ErasureSubject
  readonly reason?: string
  readonly dryRun?: true
  readonly yes?: true
  readonly json?: true
}

function subject(text: string): string {
  if (text !== '') return text
  throw new InvalidArgumentError('Expected an id or a reference id.')
}

async function findTargets(
  deps: OpsDeps,
  prisma: PrismaClient,
  asked: string,
  options: Options,
): Promise<ErasureTargets> {
  const line = statusLine(deps.output)
  const onProgress = ({ scannedEvents }: { scannedEvents: number }) =>
    line.show(`${scannedEvents} events looked through`)
  try {
    const targets = await findErasureTargets(prisma, asked, { as: options.as, onProgress })
    if (targets !== null) return targets
  } catch (error) {
    if (!(error instanceof AmbiguousSubjectError)) throw error
    throw new CommandFailure('this is both an id and a reference id: say which is meant with --as')
  } finally {
    line.clear()
  }
  throw new CommandFailure('nothing is stored of what was asked for')
}

async function runErasure(
  deps: OpsDeps,
  prisma: PrismaClient,
  asked: string,
  options: Options,
): Promise<ErasureSummary> {
  const line = statusLine(deps.output)
  const targets = await findTargets(deps, prisma, asked, options)
  const { reason } = options
  const run = async (isDryRun: boolean): Promise<ErasureSummary> => {
    const onProgress = (done: number, total: number) => line.show(`${done} of ${total} erased`)
    const erase = { reason, isDryRun, nowMs: deps.now(), ...(isDryRun ? {} : { onProgress }) }
    const report = await eraseTargets(prisma, targets, erase).finally(line.clear)
    return { isDryRun, reason: reason ?? null, targets, report }
  }
  if (options.dryRun) return run(true)
  if (!options.yes) {
    printErasure(deps.output, await run(true))
    if (!(await deps.confirm?.('Erase this for good?'))) throw new CommandFailure('nothing was erased')
  }
  return run(false)
}

/** `erase`: erases by our own word, for a request by law, as finally as a redaction of the provider's. */
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
      if (!options.dryRun && !options.yes && (deps.confirm === null || options.json))
        command.error('error: what is erased can not be had back: give --yes, or --dry-run', { exitCode: 2 })
      const summary = await withDatabase(deps, async (prisma) => await runErasure(deps, prisma, asked, options))
      if (options.json) return printJson(deps.output, erasureDocument(summary))
      printErasure(deps.output, summary)
    })
}
