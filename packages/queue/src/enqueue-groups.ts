import type { Delivery } from './delivery.ts'
import { createHash } from 'node:crypto'
import { eventJobId } from './job-data.ts'
import { queueUnavailable, QueueUnavailableError } from './queue-unavailable-error.ts'

export type EnqueueGroupsOptions = {
  /** Writes deliveries as one job; resolves once Redis has confirmed it. */
  readonly write: (deliveries: readonly Delivery[]) => Promise<void>
  /** Longest wait of one delivery, from its arrival on, in ms. */
  readonly deadlineMs: number
}

/** Two, so that Redis has the next job at hand while it syncs the last; measured no better with more. */
const MAX_IN_FLIGHT = 2
/** A job is held, and comes back, as a whole: it must stay small against what a worker holds. */
const MAX_DELIVERIES = 50
/** Of bodies, per job; one larger delivery travels alone. */
const MAX_BYTES = 1_000_000

type Waiting = {
  readonly delivery: Delivery
  readonly settle: (error: QueueUnavailableError | null) => void
}

/**
 * Lets deliveries that arrive while an enqueue is under way share the next one: a job costs Redis and BullMQ about the
 * same whatever it holds, and that is half of all that an event costs.
 *
 * An idle queue gets every delivery at once, in a job of its own. None waits for a timer or for company.
 */
export class EnqueueGroups {
  readonly #options: EnqueueGroupsOptions
  #waiting: Waiting[] = []
  #inFlight = 0
  #isScheduled = false

  constructor(options: EnqueueGroupsOptions) {
    this.#options = options
  }

  /** Resolves once the job that holds the delivery is confirmed; rejects with a `QueueUnavailableError` in time. */
  async add(delivery: Delivery): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        // Whoever waited has been told no: what is not on its way yet must not be written for nobody.
        this.#waiting = this.#waiting.filter((other) => other !== waiting)
        reject(new QueueUnavailableError('QUEUE_TOO_SLOW'))
      }, this.#options.deadlineMs)
      const waiting: Waiting = {
        delivery,
        settle: (error) => {
          clearTimeout(timer)
          if (error === null) resolve()
          else reject(error)
        },
      }
      this.#waiting.push(waiting)
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled || this.#inFlight >= MAX_IN_FLIGHT) return
    this.#isScheduled = true
    // What came in with the same pass of the event loop goes out together.
    setImmediate(() => {
      this.#isScheduled = false
      while (this.#waiting.length > 0 && this.#inFlight < MAX_IN_FLIGHT) void this.#write(this.#cut())
    })
  }

  #cut(): readonly Waiting[] {
    let bytes = 0
    let size = 0
    for (const { delivery } of this.#waiting) {
      bytes += delivery.body.byteLength
      if (size >= MAX_DELIVERIES || (size > 0 && bytes > MAX_BYTES)) break
      size += 1
    }
    return this.#waiting.splice(0, size)
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    this.#inFlight += 1
    let failure: QueueUnavailableError | null = null
    try {
      await this.#options.write(distinct(group))
    } catch (error) {
      failure = queueUnavailable(error)
    }
    this.#inFlight -= 1
    this.#schedule()
    for (const { settle } of group) settle(failure)
  }
}

/** For comparisons within this process: the digest has no key and never leaves it. */
function identityOf(delivery: Delivery): string {
  return delivery.kind === 'event' ? eventJobId(delivery) : createHash('sha256').update(delivery.body).digest('hex')
}

/** The same event twice at once needs one place only. */
function distinct(group: readonly Waiting[]): readonly Delivery[] {
  return [...new Map(group.map(({ delivery }) => [identityOf(delivery), delivery])).values()]
}
