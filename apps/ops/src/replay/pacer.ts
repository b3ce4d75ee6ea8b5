import { setTimeout as pause } from 'node:timers/promises'

/** Lets at most so many a second pass, evenly. */
export class Pacer {
  readonly #perSecond: number
  #freeAtMs = 0

  constructor(perSecond: number) {
    this.#perSecond = perSecond
  }

  /** How many may pass in one go without a burst that is felt: a tenth of a second's worth, up to `max`. */
  portion(max: number): number {
    return Math.max(1, Math.min(max, Math.floor(this.#perSecond / 10)))
  }

  /** Resolves when `count` more may pass. */
  async pass(count: number): Promise<void> {
    const nowMs = performance.now()
    const waitMs = this.#freeAtMs - nowMs
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (count * 1000) / this.#perSecond
    if (waitMs > 0) await pause(waitMs)
  }
}
