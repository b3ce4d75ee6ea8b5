import { describeError, RepeatedLine, type Logger } from '@persona-ingest/runtime'

const TROUBLE_EVERY_MS = 10_000

/**
 * Makes the listener for the queue's troubles. An outage of Redis causes hundreds a minute: each kind is told at once,
 * then every 10 s at most, with how many there were; every single one at `debug`.
 */
export function reportQueueTrouble(logger: Logger): (error: Error) => void {
  const trouble = new RepeatedLine<string>({
    everyMs: TROUBLE_EVERY_MS,
    write: (fault, count) => logger.warn({ fault, count }, 'queue in trouble, trying again'),
  })
  return (error) => {
    logger.debug({ err: error }, 'trouble with the queue')
    const { code, type } = describeError(error)
    trouble.note(code ?? type)
  }
}
