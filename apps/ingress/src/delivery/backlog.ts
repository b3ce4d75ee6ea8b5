import { QueueUnavailableError, type Producer } from '@persona-ingest/queue'
import { withDeadline } from '@persona-ingest/core'
import { IngressError } from '../errors.ts'

/** The count may be 1 s old. @see docs/contract.md#3-environment-and-processes */
const COUNT_AGE_MS = 1000
/** A count waits for Redis as the enqueue after it does; both together must stay within the answer's 4 s. */
const COUNT_DEADLINE_MS = 500

type Counted = Pick<Producer, 'counts'>

function tooSlow(): never {
  throw new QueueUnavailableError('QUEUE_TOO_SLOW')
}

/** Refuses deliveries while more events than `limit` (0 = off) wait to be stored. */
export class Backlog {
  readonly #producer: Counted
  readonly #limit: number
  #count: Promise<number> | null = null
  #countedAtMs = 0

  constructor(producer: Counted, limit: number) {
    this.#producer = producer
    this.#limit = limit
  }

  /** Throws `BACKLOG_EXCEEDED` over the limit, `QUEUE_UNAVAILABLE` where it cannot be counted. */
  async refuseOverLimit(): Promise<void> {
    if (this.#limit === 0) return
    if ((await this.#recentCount()) > this.#limit) throw new IngressError('BACKLOG_EXCEEDED')
  }

  /** All deliveries of one second share one count; a failed count is shared for as long, then asked anew. */
  async #recentCount(): Promise<number> {
    if (this.#count === null || performance.now() - this.#countedAtMs > COUNT_AGE_MS) {
      this.#countedAtMs = performance.now()
      this.#count = this.#askCount()
    }
    return this.#count
  }

  async #askCount(): Promise<number> {
    try {
      const counts = await withDeadline(COUNT_DEADLINE_MS, () => this.#producer.counts(), tooSlow)
      return counts.waiting + counts.active + counts.delayed
    } catch (error) {
      throw new IngressError('QUEUE_UNAVAILABLE', error)
    }
  }
}
