import { EnvironmentError } from './environment-error.ts'
import type { Logger } from './logger.ts'

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
