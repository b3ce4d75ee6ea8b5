import {
  AmbiguousSubjectError,
  eraseTargets,
  erasureSubjects,
  findErasureTargets,
  type ErasureSubject,
  type ErasureTargets,
  type OnUnopened,
  type PrismaClient,
} from '@persona-ingest/database'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { CommandFailure } from '../runner/command-failure.ts'
import { erasureDocument, printErasure, type ErasureSummary, type UnopenedIds } from '../reports/erasure.ts'
import { printJson } from '../output/json-document.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption } from '../runner/options.ts'
import { statusLine } from '../output/progress.ts'
import { withDatabase } from '../runner/servers.ts'

type Options = {
  readonly as?: ErasureSubject
  readonly reason?: string
  readonly dryRun?: true
  readonly yes?: true
  readonly json?: true
}

/** How many ids are kept: without a key, no document of the whole log opens. */
const KEPT_IDS = 1_000
const SHOWN_IDS = 10
const TABLE_NAMES = { events: 'events', resources: 'rows of resources', dead_letters: 'dead letters' } as const

/** The stored documents that no key opens: one of them must not keep the data of all others from being erased. */
class UnopenedRows {
  readonly #ids = { events: new Set<string>(), resources: new Set<string>(), dead_letters: new Set<string>() }

  readonly add: OnUnopened = ({ table, id }) => {
    const ids = this.#ids[table]
    if (ids.size < KEPT_IDS) ids.add(id)
  }

  byTable(): UnopenedIds {
    return {
      event_ids: [...this.#ids.events],
      resource_ids: [...this.#ids.resources],
      dead_letter_ids: [...this.#ids.dead_letters],
    }
  }

  /** Throws a `CommandFailure` that names them, after what happened otherwise. */
  expectNone(otherwise: string): void {
    const names = Object.entries(TABLE_NAMES).flatMap(([table, name]) => {
      const ids = [...this.#ids[table as keyof typeof TABLE_NAMES]]
      const shown = ids.slice(0, SHOWN_IDS).join(', ')
      const count = ids.length >= KEPT_IDS ? `${KEPT_IDS} or more` : ids.length
      return ids.length === 0 ? [] : [`${count} ${name} (${shown}${ids.length > SHOWN_IDS ? ', ...' : ''})`]
    })
    if (names.length === 0) return
    const advice = 'what they hold of the person is still stored; check STORAGE_ENCRYPTION_KEYS and run it again'
    throw new CommandFailure(`not decrypted: ${names.join(', ')}; ${otherwise}; ${advice}`)
  }
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
  unopened: UnopenedRows,
): Promise<ErasureTargets> {
  const line = statusLine(deps.output)
  const onProgress = ({ scannedEvents }: { scannedEvents: number }) =>
    line.show(`${scannedEvents} events looked through`)
  try {
    const targets = await findErasureTargets(prisma, asked, { as: options.as, onProgress, onUnopened: unopened.add })
    if (targets !== null) return targets
  } catch (error) {
    if (!(error instanceof AmbiguousSubjectError)) throw error
    throw new CommandFailure('this is both an id and a reference id: say which is meant with --as')
  } finally {
    line.clear()
  }
  unopened.expectNone('nothing was found of what was asked for')
  throw new CommandFailure('nothing is stored of what was asked for')
}

async function runErasure(
  deps: OpsDeps,
  prisma: PrismaClient,
  asked: string,
  options: Options,
  unopened: UnopenedRows,
): Promise<ErasureSummary> {
  const line = statusLine(deps.output)
  const targets = await findTargets(deps, prisma, asked, options, unopened)
  const { reason } = options
  const run = async (isDryRun: boolean): Promise<ErasureSummary> => {
    const onProgress = (done: number, total: number) => line.show(`${done} of ${total} erased`)
    const clock = { nowMs: 'database', onUnopened: unopened.add } as const
    const erase = { reason, isDryRun, ...clock, ...(isDryRun ? {} : { onProgress }) }
    const report = await eraseTargets(prisma, targets, erase).finally(line.clear)
    return { isDryRun, reason: reason ?? null, targets, report, unopened: unopened.byTable() }
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
      const unopened = new UnopenedRows()
      const summary = await withDatabase(
        deps,
        async (prisma) => await runErasure(deps, prisma, asked, options, unopened),
      )
      if (options.json) printJson(deps.output, erasureDocument(summary))
      else printErasure(deps.output, summary)
      unopened.expectNone(options.dryRun ? 'all else would be erased' : 'all else was erased')
    })
}
