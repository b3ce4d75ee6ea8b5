import type { Consumer, QueueRestraint } from '@persona-ingest/queue'
import { RepeatedLine, type Logger } from '@persona-ingest/service'

/** Far above any batch, outages aside: those hold deliveries, and a worker that holds some is not asleep. */
const ASLEEP_AFTER_MS = 60_000
/** Every wait of ours is bounded and told as an outage long before: a statement's ends after 25 s. */
const STUCK_AFTER_MS = 180_000

type Watched = Pick<Consumer, 'inFlightCount' | 'lastFinishedAtMs' | 'counts' | 'restraint' | 'takeBackPaused'>

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
 * BullMQ workers were seen to do so after a fail-over of Redis (taskforcesh/bullmq issues 3088 and 3185). A queue that is
 * paused or limited from a dashboard lets no worker take more, and a fresh process would not take more either.
 */
export async function isAsleep(
  consumer: Pick<Watched, 'inFlightCount' | 'lastFinishedAtMs' | 'counts'>,
  nowMs: number,
  restraint: QueueRestraint | null,
): Promise<boolean> {
  if (restraint !== null) return false
  if (consumer.inFlightCount() > 0 || nowMs - consumer.lastFinishedAtMs() < ASLEEP_AFTER_MS) return false
  const counts = await consumer.counts().catch(() => null)
  return counts !== null && counts.waiting > 0 && consumer.inFlightCount() === 0
}

const RESTRAINT_WORDS = {
  paused: 'the queue is paused, waiting until it is resumed',
  limited: 'the queue has a global concurrency or rate limit, which no part of this service sets',
} as const

/** Reads what restrains the queue and logs it: at once, then every minute, and when it has ended. */
class RestraintReport {
  readonly #logger: Logger
  readonly #line: RepeatedLine<QueueRestraint>
  #last: QueueRestraint | null = null

  constructor(logger: Logger) {
    this.#logger = logger
    this.#line = new RepeatedLine({
      everyMs: 60_000,
      write: (restraint) => logger.warn({ restraint }, RESTRAINT_WORDS[restraint]),
    })
  }

  async read(consumer: Pick<Watched, 'restraint' | 'takeBackPaused'>): Promise<QueueRestraint | null> {
    // Where Redis can't be asked, nothing is known to have changed.
    const restraint = await consumer.restraint().catch(() => this.#last)
    if (restraint !== null) this.#line.note(restraint)
    else if (this.#last !== null) this.#logger.info({ restraint: this.#last }, 'the queue is no longer restrained')
    if (restraint === 'paused' || this.#last === 'paused') await consumer.takeBackPaused().catch(() => undefined)
    this.#last = restraint
    return restraint
  }
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
    const settledAtMs = consumer.lastFinishedAtMs()
    const progress = this.#options.progress()
    const hasMoved = settledAtMs !== this.#settledAtMs || progress !== this.#progress
    const mayStandStill = consumer.inFlightCount() === 0 || hasMoved || !(await canSettle())
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
  const restraints = new RestraintReport(logger)
  const found = { asleep: 0, stuck: 0 }
  const note = (kind: keyof typeof found, isFound: boolean) => {
    found[kind] = isFound ? found[kind] + 1 : 0
    if (found[kind] < 2) return
    logger.fatal({ heldDeliveries: consumer.inFlightCount() }, WORDS[kind])
    end()
  }
  return async () => {
    const restraint = await restraints.read(consumer)
    note('asleep', await isAsleep(consumer, Date.now(), restraint))
    note('stuck', (await standstill.lastsMs()) >= stuckAfterMs)
  }
}
