import { QueueUnavailableError } from '@persona-ingest/queue'
import { setTimeout as pause } from 'node:timers/promises'

/** Limits the rate of enqueued jobs, evenly over each second. */
export class Pacer {
  readonly #perSecond: number
  #freeAtMs = 0

  constructor(perSecond: number) {
    this.#perSecond = perSecond
  }

  /** The number of jobs for one enqueue: those of a tenth of a second, at least 1 and at most `max`. */
  portion(max: number): number {
    return Math.max(1, Math.min(max, Math.floor(this.#perSecond / 10)))
  }

  /** Resolves when `count` more jobs are within the rate. */
  async pass(count: number): Promise<void> {
    const nowMs = performance.now()
    const waitMs = this.#freeAtMs - nowMs
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (count * 1000) / this.#perSecond
    if (waitMs > 0) await pause(waitMs)
  }
}

const TRIES = 5
const PAUSE_MS = 1_000

/** Repeats a safe call of the queue while Redis is away; rejects with the fifth `QueueUnavailableError`. */
export async function retryWhileUnavailable<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof QueueUnavailableError) || tries >= TRIES) throw error
      await pause(PAUSE_MS)
    }
  }
}

/** Waits before the next question for what a replay became; returns early on the abort signal. */
export async function pauseUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => undefined)
}
