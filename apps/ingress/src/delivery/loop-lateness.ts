const EVERY_MS = 20
const WINDOW_MS = 1000

/**
 * Watches how late this process' event loop comes to what waits for it: for bytes in a socket as well as for a timer.
 *
 * A timer of our own and not Node.js' histogram of delays, whose reset forgets the one under way.
 */
export class LoopLateness {
  readonly #timer = setInterval(() => this.#tick(), EVERY_MS).unref()
  #tickedAtMs = performance.now()
  #windowBeganAtMs = this.#tickedAtMs
  #worstMs = 0
  #worstBeforeMs = 0

  /** The worst of the last one to two seconds, in ms, with what is under way right now. */
  worstMs(): number {
    return Math.max(this.#worstMs, this.#worstBeforeMs, performance.now() - this.#tickedAtMs - EVERY_MS)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    const nowMs = performance.now()
    if (nowMs - this.#windowBeganAtMs >= WINDOW_MS) {
      this.#worstBeforeMs = this.#worstMs
      this.#worstMs = 0
      this.#windowBeganAtMs = nowMs
    }
    this.#worstMs = Math.max(this.#worstMs, nowMs - this.#tickedAtMs - EVERY_MS)
    this.#tickedAtMs = nowMs
  }
}
