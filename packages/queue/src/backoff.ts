/** Name under which a job asks the consumer for its backoff. */
export const RETRY_BACKOFF = 'custom'

const FIRST_DELAY_MS = 1000
/**
 * All pauses of one delivery together. Its attempts have ten minutes; the rest is for the work itself.
 *
 * @see docs/contract.md#3-environment-and-processes
 */
const BUDGET_MS = 511_000
/** Jitter only ever shortens, so that the budget holds. */
const JITTER = 0.2

/** The pauses in ms after each of `maxAttempts - 1` attempts without jitter: doubling from 1 s, levelled to the budget. */
function pausesMs(maxAttempts: number): readonly number[] {
  const pauses: number[] = []
  let leftMs = BUDGET_MS
  for (let attempt = 1; attempt < maxAttempts; attempt += 1) {
    const equalShareMs = leftMs / (maxAttempts - attempt)
    const pauseMs = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), equalShareMs)
    pauses.push(pauseMs)
    leftMs -= pauseMs
  }
  return pauses
}

/**
 * Makes the function that tells how long a delivery rests after `attemptsMade` attempts (1 or more), in ms.
 *
 * For any `maxAttempts` all pauses of one delivery take 511 s at most. Beyond `maxAttempts` the last pause repeats.
 */
export function retryBackoff(
  maxAttempts: number,
  random: () => number = Math.random,
): (attemptsMade: number) => number {
  const pauses = pausesMs(maxAttempts)
  return (attemptsMade) => {
    const pauseMs = pauses[Math.min(attemptsMade, pauses.length) - 1] ?? FIRST_DELAY_MS
    return Math.max(1, Math.floor(pauseMs * (1 - JITTER * random())))
  }
}
