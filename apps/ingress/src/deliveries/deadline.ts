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

/**
 * Of the 4 s for an answer, from the request's last byte on. The rest is for what nobody sees coming: a connection that
 * waits to be accepted, a rise of the lateness, the way of the answer to the socket.
 *
 * @see docs/contract.md#2-http-the-ingress
 */
const ANSWER_WITHIN_MS = 2500
/** While Redis leaves everything unanswered, waiting longer only piles deliveries up. */
const WHILE_DEAF_MS = 500
/** A body that takes longer is slow on its way; up to here it may as well have waited for us to read it. */
const LONGEST_OWN_READING_MS = 1000

/**
 * Tells how long a delivery may wait for Redis, so that its answer is in time on a busy machine too.
 *
 * Bytes wait in the socket while the event loop is at something else, which no clock of ours sees, and the timer that
 * ends the wait is late by as much. Measured with a frozen Redis on 2 busy cores, with a fixed deadline of 3 s: answers
 * after 5.1 s with 1,000 connections, after 5.8 s with 50 bodies of 1.9 MB.
 */
export class Patience {
  readonly #loopLateness: Pick<LoopLateness, 'worstMs'>
  #isDeaf = false

  constructor(loopLateness: Pick<LoopLateness, 'worstMs'>) {
    this.#loopLateness = loopLateness
  }

  /** Notes that Redis confirmed an enqueue, also one that nobody waited for any more. */
  noteConfirmed(): void {
    this.#isDeaf = false
  }

  /** Notes that an enqueue was given up because nothing came from Redis. */
  noteTooSlow(): void {
    this.#isDeaf = true
  }

  /** In ms, 0 at least. `readingMs`: from the request's headers to its last byte, as far as we saw it. */
  forDelivery(readingMs: number, verifyingMs = 0): number {
    const ownMs = Math.min(readingMs, LONGEST_OWN_READING_MS) + verifyingMs + 2 * this.#loopLateness.worstMs()
    return Math.max(0, Math.min(ANSWER_WITHIN_MS - ownMs, this.#isDeaf ? WHILE_DEAF_MS : Infinity))
  }
}
