import type { openDatabase } from '@persona-ingest/database'
import type { createProducer } from '@persona-ingest/queue'
import type { simulate } from '@persona-ingest/simulator'
import type { Command } from 'commander'
import { createInterface } from 'node:readline/promises'
import type { Output } from '../output/output.ts'
import { CommandFailure } from './command-failure.ts'
import type { readEnv } from './env.ts'

/** What commands use of the outside; tests replace it. */
export type OpsDeps = {
  readonly readEnv: typeof readEnv
  readonly output: Output
  /** Null without a terminal. */
  readonly confirm: Confirm | null
  /** Unix milliseconds. */
  readonly now: () => number
  readonly openDatabase: typeof openDatabase
  readonly createProducer: typeof createProducer
  readonly simulate: typeof simulate
}

/** Asks a question; only the whole word `yes` confirms. */
type Confirm = (question: string) => Promise<boolean>

type Terminal = NodeJS.ReadStream & { readonly isTTY?: boolean }

/** Gives a function that asks on the terminal; null without a terminal. */
export function confirmOn(streams: { stdin: Terminal; stderr: NodeJS.WriteStream }): Confirm | null {
  const { stdin: input, stderr: output } = streams
  if (!input.isTTY || !output.isTTY) return null
  return async (question) => {
    const terminal = createInterface({ input, output })
    try {
      // Ctrl-D ends the input without an answer.
      const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')))
      return (await Promise.race([terminal.question(`${question} Type yes: `), closed])).trim() === 'yes'
    } finally {
      terminal.close()
    }
  }
}

export type ConfirmationOptions = { readonly dryRun?: true; readonly yes?: true; readonly json?: true }

type Asking = { readonly confirm: Confirm | null }

/** Ends the command as wrongly used where it needs a confirmation and can't ask for one. */
export function expectConfirmable(
  { confirm }: Asking,
  { dryRun, yes, json }: ConfirmationOptions,
  command: Command,
  removed: 'erased' | 'pruned',
): void {
  if (dryRun || yes || (confirm !== null && !json)) return
  command.error(`error: what is ${removed} can not be had back: give --yes, or --dry-run`, { exitCode: 2 })
}

/** Asks before data is removed; throws a `CommandFailure` unless the answer is yes. */
export async function expectConfirmed(
  { confirm }: Asking,
  question: string,
  removed: 'erased' | 'pruned',
): Promise<void> {
  if (!(await confirm?.(question))) throw new CommandFailure(`nothing was ${removed}`)
}
