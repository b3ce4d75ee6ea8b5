import { createLogger, EnvironmentError } from '@persona-ingest/service'
import { Command, CommanderError } from 'commander'
import { addChangesConsumers } from './commands/changes-consumers.ts'
import { addChangesFailed } from './commands/changes-failed.ts'
import { addChangesResend } from './commands/changes-resend.ts'
import { addChangesTail } from './commands/changes-tail.ts'
import { addDeadLettersDiscard } from './commands/dead-letters-discard.ts'
import { addDeadLettersList } from './commands/dead-letters-list.ts'
import { addDeadLettersReplay } from './commands/dead-letters-replay.ts'
import { addDeadLettersShow } from './commands/dead-letters-show.ts'
import { addEncrypt } from './commands/encrypt.ts'
import { addErase } from './commands/erase.ts'
import { addEventsShow } from './commands/events-show.ts'
import { addInquiriesList } from './commands/inquiries-list.ts'
import { addInquiriesShow } from './commands/inquiries-show.ts'
import { addOperationsList } from './commands/operations-list.ts'
import { addPrune } from './commands/prune.ts'
import { addRebuild } from './commands/rebuild.ts'
import { addReplay } from './commands/replay.ts'
import { addSimulate } from './commands/simulate.ts'
import { addStatus } from './commands/status.ts'
import { addTimeline } from './commands/timeline.ts'
import { printable } from './output/output.ts'
import { failureMessage } from './runner/command-failure.ts'
import type { OpsDeps } from './runner/ops-deps.ts'

/**
 * Builds the whole command line. Its actions throw a `CommanderError` for wrong usage, whose text is printed already, and
 * a `CommandFailure` or an `EnvironmentError` for a failure.
 */
export function buildProgram(deps: OpsDeps): Command {
  const program = new Command('ops')
    .description('Sends simulated events to persona-ingest, looks into what it holds, mends it, and erases.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => deps.output.write(text),
      writeErr: (text) => deps.output.draw(text),
    })
  addSimulate(program, deps)
  const inquiries = program.command('inquiries').description('inquiries and what belongs to them')
  addInquiriesList(inquiries, deps)
  addInquiriesShow(inquiries, deps)
  addTimeline(program, deps)
  const events = program.command('events').description('the event log')
  addEventsShow(events, deps)
  const changes = program.command('changes').description('the change feed: what became of rows')
  addChangesTail(changes, deps)
  addChangesConsumers(changes, deps)
  addChangesFailed(changes, deps)
  addChangesResend(changes, deps)
  const deadLetters = program
    .command('dead-letters')
    .description('deliveries that will not be tried again by themselves')
  addDeadLettersList(deadLetters, deps)
  addDeadLettersShow(deadLetters, deps)
  addErase(program, deps)
  addDeadLettersReplay(deadLetters, deps)
  addDeadLettersDiscard(deadLetters, deps)
  addReplay(program, deps)
  addRebuild(program, deps)
  addPrune(program, deps)
  addEncrypt(program, deps)
  const operations = program.command('operations').description('the record of what operators did')
  addOperationsList(operations, deps)
  addStatus(program, deps)
  return program
}

/** 0: done. 1: failed, or not found. 2: wrong usage. */
export type ExitCode = 0 | 1 | 2

function noteFailure(deps: OpsDeps, error: unknown): void {
  // Its message lists fault by fault, as in every app of this project.
  if (error instanceof EnvironmentError) return deps.output.note(error.message)
  deps.output.note(`error: ${printable(failureMessage(error))}`)
  const { LOG_LEVEL: level } = deps.readEnv([])
  const destination = { write: (line: string) => deps.output.draw(line) }
  createLogger({ app: 'ops', level, destination }).debug({ err: error }, 'command failed')
}

/** Runs one command line, without the program's name, and gives its exit code. Never rejects. */
export async function runOps(args: readonly string[], deps: OpsDeps): Promise<ExitCode> {
  try {
    await buildProgram(deps).parseAsync([...args], { from: 'user' })
    return 0
  } catch (error) {
    // Commander has printed the fault; its code is 0 after a request for help.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    noteFailure(deps, error)
    return 1
  }
}
