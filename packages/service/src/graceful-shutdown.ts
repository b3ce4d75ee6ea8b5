import closeWithGrace, { type AllEvents } from 'close-with-grace'
import type { Logger } from './logger.ts'
import { EnvironmentError } from './load-env.ts'

/**
 * Runs an app's `env.ts`; where the environment is at fault, prints every fault to stderr and ends with exit code 1.
 * Plain text on stderr and not a log line: the level itself may be what is wrong, or `silent`.
 */
export function exitOnInvalidEnv<T>(readEnv: () => T): T {
  try {
    return readEnv()
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    process.stderr.write(`${error.message}\n`)
    return process.exit(1)
  }
}

/**
 * Ends the process with exit code 1 after an uncaught exception or an unhandled rejection: what it holds is in a state
 * that nobody thought of, and nothing acknowledged lives in it alone.
 */
export function exitOnUncaught(logger: Logger): void {
  const end = (err: unknown, origin: string) => {
    logger.fatal({ err, origin }, 'uncaught error, ending')
    process.exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', (reason) => end(reason, 'unhandledRejection'))
}

export type DrainOptions = {
  /** Stops taking work, finishes what is held, closes what was opened. A rejection ends the process with exit code 1. */
  readonly drain: (signal: NodeJS.Signals) => Promise<void>
  readonly timeoutMs: number
  readonly logger: Logger
  /** What is held at this moment (counts only), for the log line at the deadline. */
  readonly held?: () => Readonly<Record<string, number>>
}

// For the signals left to it the library does exactly what is documented: drain and exit 0, past the delay exit 1, at a
// second signal exit 1 at once. What it would do besides is switched off: a fault of ours must not drain through code
// whose state is unknown (`exitOnUncaught`), SIGHUP and crashes keep their meaning, an empty event loop is no signal.
// @see docs/contract.md#3-environment-and-processes
const LEFT_ALONE: AllEvents[] = [
  'uncaughtException',
  'unhandledRejection',
  'beforeExit',
  'SIGHUP',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGSEGV',
  'SIGUSR2',
]

/**
 * Drains at the first SIGTERM or SIGINT and then ends the process: exit code 0, or 1 when the drain fails or takes
 * longer than `timeoutMs`. A second signal ends it at once with 1. Call once, before anything is taken in.
 */
export function drainOnSignals({ drain, timeoutMs, logger, held }: DrainOptions): void {
  const options = {
    delay: timeoutMs,
    logger: null,
    skip: LEFT_ALONE,
    onSecondSignal: (signal: string) => logger.warn({ signal, ...held?.() }, 'second signal, ending at once'),
    onTimeout: () => logger.error({ timeoutMs, ...held?.() }, 'drain took too long, ending with work still held'),
  }
  closeWithGrace(options, async ({ signal }) => {
    logger.info({ signal, ...held?.() }, 'draining')
    try {
      await drain(signal!)
      logger.info('drained')
    } catch (error) {
      logger.error({ err: error }, 'drain failed')
      throw error
    }
  })
}
