import {
  type Bindings,
  type ChildLoggerOptions,
  type DestinationStream,
  type Logger,
  pino,
  stdTimeFunctions,
} from 'pino'
import { describeError, type OwnErrors } from './describe-error.ts'

/** As much as is written at once; what is over goes out before the pass ends. */
const BUFFER_BYTES = 8_192

/**
 * Standard output for log lines: all lines of one pass of the event loop in one write, synchronously, and the last ones
 * when the process ends by itself. A write a line took a twentieth of all that a delivery costs.
 */
function standardOutput(): DestinationStream {
  const output = pino.destination({ dest: 1, sync: true, minLength: BUFFER_BYTES })
  let isScheduled = false
  const flush = (): void => {
    isScheduled = false
    // `flushSync` would wait for the disk as well.
    output.flush()
  }
  process.on('exit', flush)
  return {
    write(line) {
      output.write(line)
      if (isScheduled) return
      isScheduled = true
      setImmediate(flush)
    },
  }
}

/**
 * Names under which personal data or secrets would stand if somebody logged them by mistake. A net, not the rule: the
 * rule is that log lines are made of ids, codes, counts and times.
 */
const NEVER_LOGGED: ReadonlySet<string> = new Set([
  'body',
  'rawBody',
  'payload',
  'data',
  'included',
  'attributes',
  'fields',
  'headers',
  'authorization',
  'signature',
  'secret',
  'secrets',
  'password',
  'REDIS_URL',
  'DATABASE_URL',
  'PERSONA_WEBHOOK_SECRETS',
  'PERSONA_SANDBOX_WEBHOOK_SECRETS',
  'redisUrl',
  'databaseUrl',
  'ip',
  'remoteAddress',
])

const CENSOR = '[redacted]'

type Members = Record<string, unknown>

/** Errors have a serializer of their own. */
function isPlain(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !(value instanceof Error)
}

/**
 * Censors what must never be logged, in an object that is about to be and in the objects below it. Gives the same object
 * where there is nothing of the kind, which costs a look at each key: pino's own redaction took 0.02 ms a line, a tenth
 * of all that a delivery costs.
 */
function censored(members: Members): Members {
  let copy: Members | null = null
  for (const key of Object.keys(members)) {
    const value = members[key]
    let kept: unknown = value
    if (NEVER_LOGGED.has(key)) kept = CENSOR
    else if (isPlain(value)) kept = censored(value)
    if (kept === value) continue
    copy ??= { ...members }
    copy[key] = kept
  }
  return copy ?? members
}

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

/**
 * Keeps a line that anybody can cause, or that an outage causes a hundred times a second, from filling the log: written
 * at once the first time, then every `everyMs` at most, with the number of times since. One count per key.
 */
export class RepeatedLine<K extends string> {
  readonly #everyMs: number
  readonly #write: (key: K, count: number) => void
  readonly #seen = new Map<K, { writtenAtMs: number; count: number }>()

  constructor(options: { everyMs: number; write: (key: K, count: number) => void }) {
    this.#everyMs = options.everyMs
    this.#write = options.write
  }

  note(key: K): void {
    const nowMs = performance.now()
    const seen = this.#seen.get(key) ?? { writtenAtMs: Number.NEGATIVE_INFINITY, count: 0 }
    this.#seen.set(key, seen)
    seen.count += 1
    if (nowMs - seen.writtenAtMs < this.#everyMs) return
    this.#write(key, seen.count)
    seen.writtenAtMs = nowMs
    seen.count = 0
  }
}
