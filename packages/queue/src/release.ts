import { DelayedError, WaitingError, type Job } from 'bullmq'

/**
 * Puts a held job back into the queue without using up an attempt, then throws what tells BullMQ that it is settled.
 *
 * A job that is ours no more (its lock ran out and somebody else has it) is reported and left alone.
 */
export async function release(
  job: Job,
  token: string,
  options: { delayMs: number; onError: (error: unknown) => void },
): Promise<never> {
  const isDelayed = options.delayMs > 0
  try {
    if (isDelayed) await job.moveToDelayed(Date.now() + options.delayMs, token)
    else await job.moveToWait(token)
  } catch (error) {
    options.onError(error)
  }
  throw isDelayed ? new DelayedError() : new WaitingError()
}
