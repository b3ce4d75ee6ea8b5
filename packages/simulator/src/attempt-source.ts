import { EventEmitter, once } from 'node:events'
import { setTimeout as rest } from 'node:timers/promises'
import { retryWaitMs } from './retry-schedule.ts'

/** One attempt at one planned delivery. */
export type Attempt = {
  /** A number of the plan. */
  readonly planned: number
  /** 1 for the first. */
  readonly attempt: number
  readonly firstAttemptedAtMs: number
}

export type AttemptSourceOptions = {
  readonly plan: Uint32Array
  /** New deliveries a second; undefined: as fast as they are taken. */
  readonly ratePerSecond: number | undefined
  /** No new deliveries after this long, in ms; retries still come. */
  readonly durationMs: number
  /** Divides the waits of the provider's retry schedule. */
  readonly timeCompression: number
  readonly signal: AbortSignal
}

/** Hands out the attempts of a simulation at their time: planned ones at the rate, retries by the provider's schedule. */
export class AttemptSource {
  readonly #options: AttemptSourceOptions
  readonly #startedAt = performance.now()
  readonly #changed = new EventEmitter().setMaxListeners(Infinity)
  readonly #retryTimers = new Set<NodeJS.Timeout>()
  readonly #ready: Attempt[] = []
  #position = 0
  #inFlight = 0

  constructor(options: AttemptSourceOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => {
      for (const timer of this.#retryTimers) clearTimeout(timer)
      this.#changed.emit('change')
    })
  }

  /** How many deliveries of the plan have begun. */
  get begun(): number {
    return this.#position
  }

  /** Deliveries that wait for their next attempt. */
  get retriesWaiting(): number {
    return this.#retryTimers.size + this.#ready.length
  }

  /** The next attempt, when its time has come; null when there will be none. Answer each with `settle`. */
  async next(): Promise<Attempt | null> {
    while (!this.#options.signal.aborted) {
      const attempt = this.#nextRetry() ?? (await this.#nextPlanned())
      if (attempt !== undefined) return attempt
      if (this.#inFlight + this.retriesWaiting === 0) break
      await once(this.#changed, 'change')
    }
    return null
  }

  /** Ends an attempt. Returns whether its delivery is given up: it failed, and the schedule has no further attempt. */
  settle(attempt: Attempt, isAcknowledged: boolean): boolean {
    this.#inFlight -= 1
    const waitMs = isAcknowledged ? undefined : retryWaitMs(attempt.attempt)
    if (typeof waitMs === 'number' && !this.#options.signal.aborted) this.#retry(attempt, waitMs)
    this.#changed.emit('change')
    return waitMs === null
  }

  #retry(attempt: Attempt, waitMs: number): void {
    const timer = setTimeout(() => {
      this.#retryTimers.delete(timer)
      this.#ready.push({ ...attempt, attempt: attempt.attempt + 1 })
      this.#changed.emit('change')
    }, waitMs / this.#options.timeCompression)
    this.#retryTimers.add(timer)
  }

  #nextRetry(): Attempt | undefined {
    const attempt = this.#ready.shift()
    if (attempt !== undefined) this.#inFlight += 1
    return attempt
  }

  async #nextPlanned(): Promise<Attempt | undefined> {
    const { plan, ratePerSecond, durationMs, signal } = this.#options
    const elapsedMs = performance.now() - this.#startedAt
    const dueMs = ratePerSecond === undefined ? elapsedMs : (this.#position / ratePerSecond) * 1000
    const planned = plan[this.#position]
    if (planned === undefined || dueMs > durationMs) return undefined
    this.#position += 1
    this.#inFlight += 1
    try {
      if (dueMs > elapsedMs) await rest(dueMs - elapsedMs, undefined, { signal })
    } catch {
      // Aborted while waiting: this delivery has not begun.
      this.#position -= 1
      this.#inFlight -= 1
      return undefined
    }
    return { planned, attempt: 1, firstAttemptedAtMs: Date.now() }
  }
}
