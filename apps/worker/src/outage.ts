import { setTimeout as delay } from 'node:timers/promises'

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 3_000

/** Doubling waits with jitter, so that many workers do not come back to a database all at once. */
function waitMs(failures: number): number {
  const longest = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 10), LONGEST_WAIT_MS)
  return longest * (0.5 + Math.random() / 2)
}

/** What a worker knows of an outage of its database: since when, and how to wait it out. */
export class Outage {
  readonly #draining: AbortSignal
  readonly #onChange: (isOut: boolean, description: string) => void
  #failures = 0
  #batchesStored = 0

  constructor(options: { draining: AbortSignal; onChange: (isOut: boolean, description: string) => void }) {
    this.#draining = options.draining
    this.#onChange = options.onChange
  }

  get isOut(): boolean {
    return this.#failures > 0
  }

  /** How many batches were stored so far: whether others pass while one fails. */
  get batchesStored(): number {
    return this.#batchesStored
  }

  /** Notes that the database took events. */
  noteStored(): void {
    this.#batchesStored += 1
    this.end()
  }

  /** Notes that the database took a write. */
  end(): void {
    if (this.isOut) this.#onChange(false, '')
    this.#failures = 0
  }

  /** Notes a failure and waits before the next try; false where the worker drains and should hand its jobs back. */
  async wait(description: string): Promise<boolean> {
    this.#failures += 1
    if (this.#failures === 1) this.#onChange(true, description)
    if (this.#draining.aborted) return false
    await delay(waitMs(this.#failures), undefined, { signal: this.#draining }).catch(() => undefined)
    return !this.#draining.aborted
  }
}
