import type { Consumer, ConsumerOptions, QueueRestraint } from '@persona-ingest/queue'
import { describeError, type Logger, RepeatedLine } from '@persona-ingest/service'

type Listeners = {
  readonly [Name in 'onUnusable' | 'onUnreadable' | 'onUndecryptable' | 'onUnencrypted' | 'onError']: NonNullable<
    ConsumerOptions[Name]
  >
}

const TROUBLE_EVERY_MS = 10_000
/** Event ids in one line of the log. */
const MAX_NAMED = 10

/**
 * Makes the listeners for what the queue reports. An outage of Redis causes hundreds of reports a minute: each kind is
 * logged at once, then every 10 s at most with its count, and every single one at `debug`. Where Redis refuses what
 * REDIS_URL selects, the process ends.
 */
export function queueReports(
  logger: Logger,
  effects: {
    readonly end: () => void
    readonly metrics: () => {
      readonly unencrypted: { inc(deliveries: number): void }
      readonly deferred: { inc(labels: { readonly reason: string; readonly key_id: string }): void }
    }
  },
): Listeners {
  const trouble = new RepeatedLine<string>({
    everyMs: TROUBLE_EVERY_MS,
    write: (fault, count) => logger.warn({ fault, count }, 'queue in trouble, trying again'),
  })
  const unencrypted = new RepeatedLine<'jobs'>({
    everyMs: TROUBLE_EVERY_MS,
    write: (_, jobs) =>
      logger.warn({ jobs }, 'jobs came unencrypted, set QUEUE_ENCRYPTION_KEYS of every ingress and of ops'),
  })
  return {
    onUnusable: ({ code }) => {
      logger.fatal({ fault: code }, 'REDIS_URL: Redis refuses the number of the database, ending')
      effects.end()
    },
    onUnreadable: (jobId, reason) =>
      logger.error({ jobId, reason }, 'job of an unknown shape, left for a newer worker'),
    onUndecryptable: (jobId, bodies) => {
      const metrics = effects.metrics()
      for (const { keyId, isKeyHere } of bodies)
        metrics.deferred.inc({ reason: isKeyHere ? 'not_decryptable' : 'key_missing', key_id: keyId })
      const keyIds = [...new Set(bodies.map(({ keyId }) => keyId))]
      const eventIds = bodies.slice(0, MAX_NAMED).map(({ eventId }) => eventId)
      const fields = { jobId, deliveries: bodies.length, eventIds, keyIds }
      logger.error(
        { ...fields, reason: bodies.some(({ isKeyHere }) => isKeyHere) ? 'not_decryptable' : 'key_missing' },
        'bodies in the queue do not decrypt, put back for 30 s, no attempt used up: check QUEUE_ENCRYPTION_KEYS',
      )
    },
    onUnencrypted: (deliveries) => {
      effects.metrics().unencrypted.inc(deliveries)
      unencrypted.note('jobs')
    },
    onError: (error) => {
      logger.debug({ err: error }, 'trouble with the queue')
      const { code, type } = describeError(error)
      trouble.note(code ?? type)
    },
  }
}

/** After a restart of the database not all workers have its new identity at once. */
const FINDINGS = 3

/**
 * Makes the work that tells the queue which database its workers store in, and warns where workers of another database
 * take from it too: then each stores a part of the other's events. To be repeated every few seconds.
 */
export function announceDatabase(options: {
  readonly consumer: Pick<Consumer, 'announce'>
  readonly readIdentity: () => Promise<string>
  readonly logger: Logger
}): () => Promise<void> {
  let findings = 0
  const shared = new RepeatedLine<'queue'>({
    everyMs: 60_000,
    write: () =>
      options.logger.error(
        'workers of another database take from this queue, give each installation its own: check REDIS_URL and DATABASE_URL',
      ),
  })
  return async () => {
    const installations = await options.consumer.announce(await options.readIdentity())
    findings = installations.length > 1 ? findings + 1 : 0
    if (findings >= FINDINGS) shared.note('queue')
  }
}

/** Far above any batch, outages aside: those hold deliveries, and a worker that holds some is not asleep. */
const ASLEEP_AFTER_MS = 60_000
/** Every wait of ours is bounded and told as an outage long before: a statement's ends after 25 s. */
const STUCK_AFTER_MS = 180_000

type Watched = Pick<Consumer, 'inFlightCount' | 'lastFinishedAtMs' | 'counts' | 'restraint' | 'takeBackPaused'>

type WatchdogOptions = {
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
