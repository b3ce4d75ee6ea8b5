import type { IncomingMessage } from 'node:http'

/** Smaller bodies are always read: as many as there may be connections take 128 MiB. */
const SMALL_BYTES = 32 * 1024

/**
 * What is held of larger bodies at once: a body has to be held whole before its signature can tell whose it is.
 * Without a budget, 400 anonymous connections with 1.9 MB each took 900 MB, 1,000 took 2.1 GB; the container has 512 MB.
 */
export const BUDGET_BYTES = 128 * 1024 * 1024

/**
 * A body makes room for others if it grew by less than this in the last second. A single byte must not be enough:
 * 64 connections that send one byte every 900 ms held the whole budget until their timeout of 10 s.
 */
export const LEAST_GROWTH_BYTES = 64 * 1024
const STALLED_MS = 1000

/** `countedBytes` were held at `countedAtMs`, when the body had last grown by `LEAST_GROWTH_BYTES`. */
type Holder = { bytes: number; countedBytes: number; countedAtMs: number; readonly giveUp: () => void }

/** Bounds the memory of bodies whose signature is not verified yet, by the bytes that are held of them. */
export class BodyBudget {
  readonly #holders = new Map<IncomingMessage, Holder>()
  #takenBytes = 0
  #soughtAtMs = Number.NEGATIVE_INFINITY

  /**
   * Whether a request may hold so many bytes from now on; they are taken until `release`.
   * `giveUp` is called when it has to make room: it must let go of them.
   */
  admits(request: IncomingMessage, bytes: number, giveUp: () => void): boolean {
    if (bytes <= SMALL_BYTES) return true
    const holder = this.#holders.get(request)
    const more = bytes - (holder?.bytes ?? 0)
    // One at least, also where the limit of a body is above the budget.
    const others = this.#takenBytes - (holder?.bytes ?? 0)
    if (others > 0 && this.#takenBytes + more > BUDGET_BYTES) this.#makeRoom(request)
    if (others > 0 && this.#takenBytes + more > BUDGET_BYTES) return false
    this.#takenBytes += more
    if (holder === undefined) {
      this.#holders.set(request, { bytes, countedBytes: bytes, countedAtMs: performance.now(), giveUp })
      return true
    }
    holder.bytes = bytes
    if (bytes - holder.countedBytes < LEAST_GROWTH_BYTES) return true
    holder.countedBytes = bytes
    holder.countedAtMs = performance.now()
    return true
  }

  /** To be called when a request is answered, or will never be. */
  release(request: IncomingMessage): void {
    this.#takenBytes -= this.#holders.get(request)?.bytes ?? 0
    this.#holders.delete(request)
  }

  #makeRoom(forRequest: IncomingMessage): void {
    const nowMs = performance.now()
    if (nowMs - this.#soughtAtMs < STALLED_MS / 10) return
    this.#soughtAtMs = nowMs
    for (const [request, { countedAtMs, giveUp }] of this.#holders) {
      if (request === forRequest || request.complete || nowMs - countedAtMs < STALLED_MS) continue
      this.release(request)
      giveUp()
    }
  }
}
