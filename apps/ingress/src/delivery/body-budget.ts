import type { IncomingMessage } from 'node:http'

/** Smaller ones are always read: as many as there may be connections take 128 MB. */
const LARGE_BYTES = 32 * 1024

/**
 * Large bodies that are read at once, by what they announce: a body has to be held whole before its signature can tell
 * whose it is. Without a budget, 400 anonymous connections with 1.9 MB each took 900 MB, 1,000 took 2.1 GB; the
 * container has 512 MB.
 */
export const BUDGET_BYTES = 128 * 1024 * 1024

/**
 * A chunked body announces nothing. At its worst it is as long as the limit; counted so, 64 small ones from a proxy that
 * sends everything in chunks would fill the budget. Counted like this, 512 may be read at once.
 */
const CHUNKED_BYTES = 256 * 1024

/** Bounds the memory that bodies take which nobody knows yet to be authentic. */
export class BodyBudget {
  readonly #bodyLimitBytes: number
  #takenBytes = 0

  constructor(bodyLimitBytes: number) {
    this.#bodyLimitBytes = bodyLimitBytes
  }

  /** Whether there is room for the body of a request; it is taken until the request is over, whatever ends it. */
  admits(request: IncomingMessage): boolean {
    const bytes = this.#announcedBytes(request)
    // Those over the limit are refused by it, unread.
    if (bytes <= LARGE_BYTES || bytes > this.#bodyLimitBytes) return true
    // One at least, also where the limit of a body is above the budget.
    if (this.#takenBytes > 0 && this.#takenBytes + bytes > BUDGET_BYTES) return false
    this.#takenBytes += bytes
    request.once('close', () => (this.#takenBytes -= bytes))
    return true
  }

  #announcedBytes({ headers }: IncomingMessage): number {
    if (headers['transfer-encoding'] !== undefined) return Math.min(CHUNKED_BYTES, this.#bodyLimitBytes)
    return Number(headers['content-length'] ?? 0)
  }
}
