export type Backoff = {
  /** Pause after the first failure, in milliseconds. */
  readonly firstMs: number
  /** Longest pause, in milliseconds. */
  readonly longestMs: number
  /** Part of a pause that may be taken away at random: 0 gives exact pauses, 0.5 gives 50 to 100 % of them. */
  readonly jitter: number
  /** For tests; default `Math.random`. */
  readonly random?: () => number
}

/**
 * Gives the pause in milliseconds after `failures` failures in a row (1 or more).
 *
 * `min(firstMs * 2^(failures - 1), longestMs) * (1 - jitter * random)`. With `firstMs` 100, `longestMs` 3,000 and no jitter:
 * 100, 200, 400, 800, 1,600, 3,000, 3,000. Jitter only shortens a pause; it spreads processes that lost the same server at
 * the same moment. Any number of failures gives a finite pause.
 */
export function backoffMs(failures: number, { firstMs, longestMs, jitter, random = Math.random }: Backoff): number {
  return Math.min(firstMs * 2 ** (failures - 1), longestMs) * (1 - jitter * random())
}
