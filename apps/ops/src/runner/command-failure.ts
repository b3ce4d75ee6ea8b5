import {
  ConsumerUnknownError,
  CursorExpiredError,
  failureOf,
  MaintenanceBusyError,
  DecryptionError,
  OtherKeyError,
  UndecryptableDeadLettersError,
  UnsuitableSessionError,
} from '@persona-ingest/database'
import { OperationError, type OperationFault } from '@persona-ingest/operations'
import { QueueUnavailableError } from '@persona-ingest/queue'
import { describeError, EnvironmentError } from '@persona-ingest/service'

/** A command could not do what it was asked: exit code 1. The message is one line without stored data. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
}

function databaseMessage(error: unknown): string {
  const { description, kind, sqlState } = failureOf(error)
  if (error instanceof DecryptionError) return `${description}; check STORAGE_ENCRYPTION_KEYS`
  const isAway = kind === 'outage' && sqlState === null && !(error instanceof UnsuitableSessionError)
  return `database: ${description}${isAway ? '; check DATABASE_URL and that PostgreSQL runs' : ''}`
}

/** Errors whose message holds ids at most. */
const TELLING = [MaintenanceBusyError, OtherKeyError, UndecryptableDeadLettersError] as const

/** How this command line says what an error asks for. */
const ADVICE: Partial<Record<OperationFault, string>> = { ERASURE_SUBJECT_AMBIGUOUS: ' with --as' }

/** Turns what an operation threw into a `CommandFailure`; an unknown error is taken for the database's. */
export function commandFailure(error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error
  if (error instanceof CursorExpiredError || error instanceof ConsumerUnknownError)
    return new CommandFailure(`${error.code}: ${error.message}`, { cause: error })
  if (error instanceof QueueUnavailableError) {
    const advice = 'run the command again: what is in the queue already adds nothing'
    return new CommandFailure(`queue: ${error.code}: ${error.message}; ${advice}`, { cause: error })
  }
  if (error instanceof OperationError)
    return new CommandFailure(`${error.message}${ADVICE[error.code] ?? ''}`, { cause: error })
  for (const type of TELLING) if (error instanceof type) return new CommandFailure(error.message, { cause: error })
  return new CommandFailure(databaseMessage(error), { cause: error })
}

/** The text of an error for the terminal: never a stack, and never a message that may quote data. */
export function failureMessage(error: unknown): string {
  if (error instanceof CommandFailure || error instanceof EnvironmentError) return error.message
  const { type, code, message } = describeError(error)
  return `unexpected failure: ${message ?? [type, code].filter(Boolean).join(' ')} (LOG_LEVEL=debug shows where)`
}
