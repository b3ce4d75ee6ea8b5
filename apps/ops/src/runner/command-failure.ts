import { describeError, EnvironmentError } from '@persona-ingest/service'

/** A command could not do what it was asked: exit code 1. The message is one line of our own words. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
}

/** What to tell the user of anything thrown; never a stack, and never words that might quote data. */
export function failureMessage(error: unknown): string {
  if (error instanceof CommandFailure || error instanceof EnvironmentError) return error.message
  const { type, code, message } = describeError(error)
  return `unexpected failure: ${message ?? [type, code].filter(Boolean).join(' ')} (LOG_LEVEL=debug shows where)`
}
