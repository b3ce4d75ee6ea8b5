import type { Consumer } from '@persona-ingest/queue'
import type { Logger } from '@persona-ingest/runtime'

/** Far above any batch, outages aside: those hold deliveries, and a worker that holds some is not asleep. */
const ASLEEP_AFTER_MS = 60_000
/** Every wait of ours is bounded and told as an outage long before: a statement's ends after 25 s. */
const STUCK_AFTER_MS = 180_000

type Watched = Pick<Consumer, 'heldCount' | 'lastSettledAtMs' | 'counts'>

export type WatchdogOptions = {
  readonly consumer: Watched
  /** Grows with every write of events that comes to an end, be it refused: a batch may take many until it is settled. */
  readonly progress: () => number
  /** Whether deliveries could be settled now: Redis and the database answer, and no outage is under way. */
  readonly canSettle: () => Promise<boolean>
  readonly logger: Logger
  readonly end: () => void
  /** Default: 180,000. */
  readonly stuckAfterMs?: number | undefined
}

/**
 * Tells whether a worker sleeps while work waits: deliveries wait, it holds none, and it settled none for a minute.
 * BullMQ workers were seen to do so after a fail-over of Redis (taskforcesh/bullmq issues 3088 and 3185).
 */
export async function isAsleep(consumer: Watched, nowMs: number): Promise<boolean> {
  if (consumer.heldCount() > 0 || nowMs - consumer.lastSettledAtMs() < ASLEEP_AFTER_MS) return false
  const counts = await consumer.counts().catch(() => null)
  return counts !== null && counts.waiting > 0 && consumer.heldCount() === 0
}

/** Tells how long a worker has held deliveries and settled none, although nothing outside keeps it from it. */
class Standstill {
  readonly #options: Pick<WatchdogOptions, 'consumer' | 'canSettle' | 'progress'>
  #settledAtMs = Number.NaN
  #progress = Number.NaN
  #sinceMs = performance.now()

  constructor(options: Pick<WatchdogOptions, 'consumer' | 'canSettle' | 'progress'>) {
    this.#options = options
  }

  async lastsMs(): Promise<number> {
    const { consumer, canSettle } = this.#options
    const settledAtMs = consumer.lastSettledAtMs()
    const progress = this.#options.progress()
    const hasMoved = settledAtMs !== this.#settledAtMs || progress !== this.#progress
    const mayStandStill = consumer.heldCount() === 0 || hasMoved || !(await canSettle())
    this.#settledAtMs = settledAtMs
    this.#progress = progress
    if (mayStandStill) this.#sinceMs = performance.now()
    return performance.now() - this.#sinceMs
  }
}

const WORDS = {
  asleep: 'deliveries wait and this worker takes none, ending so that it is started afresh',
  stuck: 'this worker holds deliveries and settles none although it could, ending so that it is started afresh',
} as const

/**
 * Ends the process where it was found asleep, or stuck, twice in a row, so that whatever supervises it starts a fresh one.
 * Nothing is lost: what it holds comes back when its locks run out, and storing is idempotent.
 */
export function createWatchdog(options: WatchdogOptions): () => Promise<void> {
  const { consumer, logger, end, stuckAfterMs = STUCK_AFTER_MS } = options
  const standstill = new Standstill(options)
  const found = { asleep: 0, stuck: 0 }
  const note = (kind: keyof typeof found, isFound: boolean) => {
    found[kind] = isFound ? found[kind] + 1 : 0
    if (found[kind] < 2) return
    logger.fatal({ heldDeliveries: consumer.heldCount() }, WORDS[kind])
    end()
  }
  return async () => {
    note('asleep', await isAsleep(consumer, Date.now()))
    note('stuck', (await standstill.lastsMs()) >= stuckAfterMs)
  }
}
