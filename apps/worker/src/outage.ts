import { setTimeout as delay } from 'node:timers/promises'
import { LoneFailures } from './lone-failures.ts'

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
  readonly loneFailures = new LoneFailures()
  #failures = 0
  #answers = 0

  constructor(options: { draining: AbortSignal; onChange: (isOut: boolean, description: string) => void }) {
    this.#draining = options.draining
    this.#onChange = options.onChange
  }

  get isOut(): boolean {
    return this.#failures > 0
  }

  /** How many writes of events came to an end, one way or the other. Where this grows, the worker does not stand still. */
  get answers(): number {
    return this.#answers
  }

  /** Notes that a write of events was refused, or not answered in its time. */
  noteAnswer(): void {
    this.#answers += 1
  }

  /** Notes that the database took events: these, and perhaps some that it had already. */
  noteStored(eventIds: readonly string[]): void {
    this.noteAnswer()
    if (eventIds.length > 0) this.loneFailures.noteStored(eventIds)
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
