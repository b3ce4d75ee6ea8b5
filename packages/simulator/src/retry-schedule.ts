import { MAX_ATTEMPTS } from './delivery.ts'

/**
 * How long the provider waits after the given number of attempts, in ms; null when it gives up.
 *
 * 3 s, then n to the sixth: 64, 729, 4096, 15625, 46656, 117649 s; 51 hours in all.
 *
 * @see https://docs.withpersona.com/webhooks
 */
export function retryWaitMs(attemptsMade: number): number | null {
  if (attemptsMade >= MAX_ATTEMPTS) return null
  return attemptsMade <= 1 ? 3000 : attemptsMade ** 6 * 1000
}
