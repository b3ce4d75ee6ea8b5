/** From the last byte of a request to its answer. @see docs/contract.md#2-http-the-ingress */
const ACKNOWLEDGEMENT_MS = 4000
/** For delays that cannot be measured: a connection waits to be accepted, lateness rises, the answer waits for its socket. */
const RESERVE_MS = 1500
/** Longest enqueue, on an idle machine too: a Redis that takes longer is in trouble, and the provider sends again. */
const MAX_ENQUEUE_MS = 2000
/** Longest deduction for the reading of a body: it may have waited in the socket. A longer time is the client's. */
const MAX_READING_MS = 1000
/** Replaces the remaining time while Redis does not answer: a longer wait only adds deliveries in flight. */
const UNRESPONSIVE_REDIS_DEADLINE_MS = 500
/** Of a count of the backlog, which comes before the enqueue and uses the same deadline. */
export const BACKLOG_COUNT_DEADLINE_MS = 500

const TICK_MS = 20
const WINDOW_MS = 1000

/**
 * Measures how late the event loop is: for bytes in a socket as for a timer.
 *
 * It uses a timer of its own, since Node.js' histogram of delays forgets the current delay at each reset.
 */
export class LoopLateness {
  readonly #timer = setInterval(() => this.#tick(), TICK_MS).unref()
  #tickedAtMs = performance.now()
  #windowBeganAtMs = this.#tickedAtMs
  #worstMs = 0
  #worstBeforeMs = 0

  /** The worst lateness of the last one to two seconds, the current one included, in milliseconds. */
  worstMs(): number {
    return Math.max(this.#worstMs, this.#worstBeforeMs, performance.now() - this.#tickedAtMs - TICK_MS)
  }

  /** Forgets the lateness up to now: that of a start is over when the first delivery comes. */
  reset(): void {
    const nowMs = performance.now()
    this.#tickedAtMs = nowMs
    this.#windowBeganAtMs = nowMs
    this.#worstMs = 0
    this.#worstBeforeMs = 0
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
    this.#worstMs = Math.max(this.#worstMs, nowMs - this.#tickedAtMs - TICK_MS)
    this.#tickedAtMs = nowMs
  }
}

/**
 * The one deadline of a delivery's acknowledgement: how long its enqueue may take, the count of the backlog included.
 *
 * | part of the 4000 ms                          | ms                                                      |
 * | -------------------------------------------- | ------------------------------------------------------- |
 * | reserve for delays that cannot be measured   | 1500                                                    |
 * | reading of the body, from the headers on     | as measured, 1000 at most                               |
 * | verification of the signature                | as measured                                             |
 * | lateness of the event loop, before and after | twice the worst, as measured                            |
 * | enqueue                                      | the rest: 2000 at most, 500 while Redis does not answer |
 *
 * Bytes wait in the socket while the event loop is busy, and the timer of the deadline is late by as much. With a fixed
 * deadline of 3 s, a frozen Redis and 2 busy cores, answers took 5.1 s (1,000 connections) and 5.8 s (50 bodies of 1.9 MB).
 */
export class AcknowledgementDeadline {
  readonly #loopLateness: Pick<LoopLateness, 'worstMs'>
  #isRedisUnresponsive = false

  constructor(loopLateness: Pick<LoopLateness, 'worstMs'>) {
    this.#loopLateness = loopLateness
  }

  /** Notes that Redis confirmed an enqueue, also after its deadline. */
  noteConfirmed(): void {
    this.#isRedisUnresponsive = false
  }

  /** Notes that Redis did not answer an enqueue in time. */
  noteUnanswered(): void {
    this.#isRedisUnresponsive = true
  }

  /**
   * Milliseconds that the enqueue of a delivery may take; 0 at least. `readingMs`: from the headers of the request to its
   * last byte; `verifyingMs`: from there to the verdict on its signature.
   */
  enqueueDeadlineMs(readingMs: number, verifyingMs: number): number {
    const spentMs = Math.min(readingMs, MAX_READING_MS) + verifyingMs + 2 * this.#loopLateness.worstMs()
    const longestMs = this.#isRedisUnresponsive ? UNRESPONSIVE_REDIS_DEADLINE_MS : MAX_ENQUEUE_MS
    return Math.max(0, Math.min(ACKNOWLEDGEMENT_MS - RESERVE_MS - spentMs, longestMs))
  }
}
