import {
  pino,
  stdTimeFunctions,
  type Bindings,
  type ChildLoggerOptions,
  type DestinationStream,
  type Logger,
} from 'pino'
import { describeError, type OwnErrors } from './describe-error.ts'
import { censored } from './log-net.ts'
import { standardOutput } from './standard-output.ts'

/** pino takes an error's message for the sentence where none is given, and so do libraries: that would quote it. */
function withConstantSentence(values: unknown[]): unknown[] {
  const [first, sentence, ...rest] = values
  const error = first instanceof Error ? first : (first as { err?: unknown } | undefined)?.err
  if (!(error instanceof Error)) return values
  const merging = first instanceof Error ? { err: first } : first
  const quotes = typeof sentence !== 'string' || (error.message !== '' && sentence.includes(error.message))
  return [merging, quotes ? 'error' : sentence, ...rest]
}

export type { Logger }

/**
 * Creates the process' logger: one JSON object a line on stdout; a last line before `process.exit` is not lost. Errors go under `err` and keep what `describeError` keeps.
 * `destination` replaces stdout in tests.
 */
export function createLogger(options: {
  app: string
  level: string
  ownErrors?: OwnErrors
  destination?: DestinationStream
}): Logger {
  const serializeError = (error: unknown) => describeError(error, options.ownErrors)
  const logger = pino(
    {
      level: options.level,
      base: { app: options.app },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: censored },
      serializers: { err: serializeError, error: serializeError },
      hooks: {
        logMethod(values, method) {
          method.apply(this, withConstantSentence(values) as typeof values)
        },
      },
    },
    options.destination ?? standardOutput(),
  )
  return withCensoredChildren(logger)
}

/** pino has no hook for what a child is bound to; children, and theirs, inherit this one. */
function withCensoredChildren(logger: Logger): Logger {
  const original: Logger['child'] = Reflect.get(logger, 'child')
  const child = function (this: Logger, bindings: Bindings, options?: ChildLoggerOptions): Logger {
    return Reflect.apply(original, this, [censored(bindings), options])
  }
  return Object.assign(logger, { child })
}
