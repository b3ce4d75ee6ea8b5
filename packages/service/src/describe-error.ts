import { CodedError } from '@persona-ingest/core'

/** The parts of an error that hold no payload: safe for logs. */
export type ErrorDescription = {
  readonly type: string
  readonly code?: string
  /** Of coded errors of this project and of system errors of Node.js only. */
  readonly message?: string
  /** Stack frames without the line of the message. */
  readonly stack?: string
  readonly cause?: ErrorDescription
  readonly errors?: readonly ErrorDescription[]
}

/** Classes of errors that have constant messages, though they do not extend `CodedError`. */
export type OwnErrors = readonly (abstract new (...values: never[]) => Error)[]

type Scope = { readonly depth: number; readonly ownErrors: OwnErrors }

const MAX_DEPTH = 4
const MAX_FRAMES = 12
const FRAME = /^\s+at \S.*$/

/**
 * Other messages quote values: `JSON.parse` its text, PostgreSQL the value of a column, V8 a string. A system error (it
 * has a `syscall`) names an address, a port or a path only.
 */
function keepsMessage(error: Error, ownErrors: OwnErrors): boolean {
  return 'syscall' in error || [CodedError, ...ownErrors].some((own) => error instanceof own)
}

/** Beginnings of messages of Redis with the code `ERR`. They hold no value; the rest of a message may. */
const REDIS_ERR =
  /^ERR (max number of clients reached|invalid password|AUTH <password> called without any password configured|DB index is out of range|SELECT is not allowed in cluster mode|This instance has cluster support disabled|unknown command|unknown subcommand|wrong number of arguments|syntax error|Protocol error|command not allowed|value is not an integer or out of range|Error running script|user_script|no such key|timeout)/i

/** The code of Redis is the first word of a message (OOM, READONLY, MISCONF). `ERR` alone tells nothing. */
function redisCode(message: string): string | undefined {
  return REDIS_ERR.exec(message)?.[0] ?? /^[A-Z]+(?= )/.exec(message)?.[0]
}

function codeOf(error: Error): string | undefined {
  const code = 'code' in error ? error.code : undefined
  if (typeof code === 'number') return String(code)
  if (typeof code === 'string' && /^[\w.-]{1,64}$/.test(code)) return code
  return error.name === 'ReplyError' ? redisCode(error.message) : undefined
}

function framesOf(error: Error): string | undefined {
  const stack = typeof error.stack === 'string' ? error.stack.replace(error.message, '') : ''
  const frames = stack.split('\n').filter((line) => FRAME.test(line))
  return frames.length === 0 ? undefined : frames.slice(0, MAX_FRAMES).join('\n')
}

function partsOf(error: Error, { depth, ownErrors }: Scope) {
  if (depth >= MAX_DEPTH) return {}
  const inner = (value: unknown) => describe(value, { depth: depth + 1, ownErrors })
  return {
    ...(error.cause instanceof Error ? { cause: inner(error.cause) } : {}),
    ...(error instanceof AggregateError ? { errors: error.errors.map(inner) } : {}),
  }
}

function describe(error: unknown, scope: Scope): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error }
  const code = codeOf(error)
  const stack = framesOf(error)
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    ...(keepsMessage(error, scope.ownErrors) ? { message: error.message } : {}),
    ...(stack === undefined ? {} : { stack }),
    ...partsOf(error, scope),
  }
}

/**
 * Describes a thrown value without parts that may quote a payload: type, code, stack frames, and the messages of coded
 * errors, system errors and `ownErrors`.
 */
export function describeError(error: unknown, ownErrors: OwnErrors = []): ErrorDescription {
  return describe(error, { depth: 0, ownErrors })
}
