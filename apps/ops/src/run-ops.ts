import { createLogger, EnvironmentError } from '@persona-ingest/service'
import { CommanderError } from 'commander'
import { failureMessage } from './command-failure.ts'
import type { OpsDeps } from './ops-deps.ts'
import { printable } from './printable.ts'
import { buildProgram } from './program.ts'

/** 0: done. 1: failed, or not found. 2: wrong usage. */
export type ExitCode = 0 | 1 | 2

function noteFailure(deps: OpsDeps, error: unknown): void {
  // It lists fault by fault, as every app of this project does.
  if (error instanceof EnvironmentError) return deps.output.note(error.message)
  deps.output.note(`error: ${printable(failureMessage(error))}`)
  const { LOG_LEVEL: level } = deps.readEnv([])
  const destination = { write: (line: string) => deps.output.draw(line) }
  createLogger({ app: 'ops', level, destination }).debug({ err: error }, 'command failed')
}

/** Runs one command line (without the program's name) and tells its exit code. Never rejects. */
export async function runOps(args: readonly string[], deps: OpsDeps): Promise<ExitCode> {
  try {
    await buildProgram(deps).parseAsync([...args], { from: 'user' })
    return 0
  } catch (error) {
    // Commander has said what is wrong; its code is 0 where help was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    noteFailure(deps, error)
    return 1
  }
}
