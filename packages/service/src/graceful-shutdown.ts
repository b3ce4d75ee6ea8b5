import closeWithGrace, { type AllEvents } from 'close-with-grace'
import type { Logger } from './logger.ts'

export type GracefulShutdownOptions = {
  /** Stops intake, finishes what is in flight, closes what was opened. A rejection ends the process with exit code 1. */
  readonly shutDown: (signal: NodeJS.Signals) => Promise<void>
  /** Longest duration of `shutDown`, in milliseconds. */
  readonly timeoutMs: number
  readonly logger: Logger
  /** Counts of what is in flight, for the log lines. */
  readonly inFlight?: () => Readonly<Record<string, number>>
}

/**
 * The library handles SIGTERM and SIGINT only. Uncaught errors belong to `exitOnUncaught`: a graceful shutdown would run code
 * whose state is unknown. The other signals keep their meaning, and an empty event loop is no signal.
 *
 * @see docs/contract.md#3-environment-and-processes
 */
const NOT_HANDLED: AllEvents[] = [
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
 * Shuts the process down gracefully at the first SIGTERM or SIGINT.
 *
 * Exit code 0, or 1 where `shutDown` rejects or exceeds `timeoutMs`. A second signal ends the process at once with exit
 * code 1. Called once, before the process takes work.
 */
export function shutDownOnSignals({ shutDown, timeoutMs, logger, inFlight }: GracefulShutdownOptions): void {
  const options = {
    delay: timeoutMs,
    logger: null,
    skip: NOT_HANDLED,
    onSecondSignal: (signal: string) => logger.warn({ signal, ...inFlight?.() }, 'second signal, ending at once'),
    onTimeout: () => logger.error({ timeoutMs, ...inFlight?.() }, 'drain took too long, ending with work still held'),
  }
  closeWithGrace(options, async ({ signal }) => {
    logger.info({ signal, ...inFlight?.() }, 'draining')
    try {
      await shutDown(signal!)
      logger.info('drained')
    } catch (error) {
      logger.error({ err: error }, 'drain failed')
      throw error
    }
  })
}

/**
 * Ends the process with exit code 1 after an uncaught exception or an unhandled rejection.
 *
 * The state of the process is unknown then. Acknowledged deliveries are in Redis, so that an abrupt end loses none.
 */
export function exitOnUncaught(logger: Logger): void {
  const end = (err: unknown, origin: string) => {
    logger.fatal({ err, origin }, 'uncaught error, ending')
    process.exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', (reason) => end(reason, 'unhandledRejection'))
}
