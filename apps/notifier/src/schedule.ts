import { backoffMs } from '@persona-ingest/core'

/** When attempts are repeated; all times in ms. */
export type Schedule = {
  /** Longest first pause; the shortest is a fifth of it. */
  readonly firstMs: number
  readonly longestMs: number
  /** From the first attempt of a version to its last. */
  readonly giveUpAfterMs: number
}

const HOUR_MS = 3_600_000

/** 1 to 5 s at first, doubled each time up to an hour, for three days. @see docs/contract.md#6-change-feed-what-a-users-application-reads */
export const SCHEDULE: Schedule = { firstMs: 5_000, longestMs: HOUR_MS, giveUpAfterMs: 72 * HOUR_MS }

/** Takes away up to four fifths of a pause: objects that failed at the same moment do not all come back at the same one. */
const JITTER = 0.8

/** The pause after `failures` failed attempts (1 or more), in ms. */
export function retryMs(
  failures: number,
  { firstMs, longestMs }: Pick<Schedule, 'firstMs' | 'longestMs'> = SCHEDULE,
  random: () => number = Math.random,
): number {
  return Math.round(backoffMs(failures, { firstMs, longestMs, jitter: JITTER, random }))
}
