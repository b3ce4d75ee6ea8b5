import { setTimeout as wait } from 'node:timers/promises'

export type EventuallyOptions = {
  /** Deadline in milliseconds. Default 15,000, for busy machines. */
  readonly deadlineMs?: number
  /** Pause between two attempts in milliseconds. Default: a tenth of the time waited so far, from 25 to 200. */
  readonly everyMs?: number
}

/**
 * Repeats `check` until it neither throws nor returns `false`, and returns its value. At the deadline it throws the last
 * error of `check`, or an error with the deadline; a `check` that never settles counts as failed.
 */
export async function eventually<T>(check: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<T> {
  const { deadlineMs = 15_000 } = options
  const begunAtMs = performance.now()
  const endsAtMs = begunAtMs + deadlineMs
  let lastError: unknown = new Error(`the condition did not settle within ${deadlineMs} ms`)
  for (;;) {
    try {
      const value = await withinDeadline(check, endsAtMs - performance.now())
      if (value === pastDeadline) throw lastError
      if (value !== false) return value
      lastError = new Error(`the condition was still false after ${deadlineMs} ms`)
    } catch (error) {
      lastError = error
    }
    const nowMs = performance.now()
    const pauseMs = options.everyMs ?? growingPauseMs(nowMs - begunAtMs)
    if (nowMs + pauseMs >= endsAtMs) throw lastError
    await wait(pauseMs)
  }
}

/** A check may open a connection: long waits must not keep a processor busy with checks. */
function growingPauseMs(waitedMs: number): number {
  return Math.min(Math.max(waitedMs / 10, 25), 200)
}

const pastDeadline = Symbol('past the deadline')

async function withinDeadline<T>(check: () => T | Promise<T>, remainingMs: number): Promise<T | typeof pastDeadline> {
  const timer = new AbortController()
  try {
    return await Promise.race([check(), wait(remainingMs, pastDeadline, { signal: timer.signal })])
  } finally {
    timer.abort()
  }
}
