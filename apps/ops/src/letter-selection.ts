import type { LetterSelection } from '@persona-ingest/database'
import { Option, type Command } from 'commander'
import { deadLetterId } from './option-values.ts'

export type LetterSelectionOptions = { readonly code?: string; readonly all?: true }

function deadLetterIds(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, deadLetterId(text)]
}

/** Adds the three ways to say which dead letters: by id, by reason code, all. */
export function addLetterSelection(command: Command): Command {
  return command
    .argument('[id...]', 'ids of dead letters, whole numbers', deadLetterIds)
    .addOption(
      new Option('--code <code>', 'all open ones with this reason code, such as INVALID_JSON').conflicts('all'),
    )
    .addOption(new Option('--all', 'all open ones'))
}

/** Reads them; exactly one way must be used, else the command ends as wrongly used. */
export function letterSelection(
  ids: readonly string[] | undefined,
  { code, all }: LetterSelectionOptions,
  command: Command,
): LetterSelection {
  const hasIds = ids !== undefined && ids.length > 0
  if ([hasIds, code !== undefined, all === true].filter(Boolean).length !== 1) {
    command.error('error: say which dead letters: ids, --code <code> or --all', { exitCode: 2 })
  }
  return hasIds ? { ids } : { reason: code ?? null }
}

/** What the record of operations says of it. */
export function selectionArguments(selection: LetterSelection): Readonly<Record<string, unknown>> {
  return 'ids' in selection ? { ids: selection.ids } : { code: selection.reason ?? 'all' }
}
