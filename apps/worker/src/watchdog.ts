import type { Consumer, ConsumerOptions, QueueRestraint } from '@persona-ingest/queue'
import { describeError, RepeatedLine, type Logger } from '@persona-ingest/service'

type Listeners = {
  readonly [Name in 'onUnusable' | 'onUnreadable' | 'onUndecryptable' | 'onUnencrypted' | 'onError']: NonNullable<
    ConsumerOptions[Name]
  >
}

const TROUBLE_EVERY_MS = 10_000
/** Event ids in one log line. */
const MAX_EVENT_IDS = 10

/**
 * Makes the consumer's listeners, which log and count. An outage of Redis causes hundreds of errors a minute: each kind is
 * logged at once, then every 10 s at most with its count; at level `debug` each error is logged. `end` is called where
 * Redis refuses the database number of REDIS_URL.
 */
export function queueListeners({
  logger,
  metrics,
  end,
}: {
  readonly logger: Logger
  readonly metrics: {
    readonly unencrypted: { inc(deliveries: number): void }
    readonly deferred: { inc(labels: { readonly reason: string; readonly key_id: string }): void }
  }
  readonly end: () => void
}): Listeners {
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
      end()
    },
    onUnreadable: (jobId, reason) =>
      logger.error({ jobId, reason }, 'job of an unknown shape, left for a newer worker'),
    onUndecryptable: (jobId, bodies) => {
      for (const { keyId, isKeyHere } of bodies)
        metrics.deferred.inc({ reason: isKeyHere ? 'not_decryptable' : 'key_missing', key_id: keyId })
      const keyIds = [...new Set(bodies.map(({ keyId }) => keyId))]
      const eventIds = bodies.slice(0, MAX_EVENT_IDS).map(({ eventId }) => eventId)
      const fields = { jobId, deliveries: bodies.length, eventIds, keyIds }
      logger.error(
        { ...fields, reason: bodies.some(({ isKeyHere }) => isKeyHere) ? 'not_decryptable' : 'key_missing' },
        'bodies in the queue do not decrypt, put back for 30 s, no attempt used up: check QUEUE_ENCRYPTION_KEYS',
      )
    },
    onUnencrypted: (deliveries) => {
      metrics.unencrypted.inc(deliveries)
      unencrypted.note('jobs')
    },
    onError: (error) => {
      logger.debug({ err: error }, 'trouble with the queue')
      const { code, type } = describeError(error)
      trouble.note(code ?? type)
    },
  }
}

/** After a restart of the database the workers read its new identity at different moments. */
const FINDINGS_BEFORE_REPORT = 3

/**
 * Makes the work that announces the worker's database in the queue, to be repeated every few seconds. It logs an error while
 * workers of another database take from the same queue: each database then gets a part of the events.
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
    if (findings >= FINDINGS_BEFORE_REPORT) shared.note('queue')
  }
}

/** Longer than any batch takes. During an outage deliveries are in flight, so that the worker does not count as asleep. */
const ASLEEP_AFTER_MS = 60_000
/** Every bounded wait of the worker ends long before and counts as an outage: a statement ends after 25 s. */
const STUCK_AFTER_MS = 180_000

type Watched = Pick<Consumer, 'inFlightCount' | 'lastFinishedAtMs' | 'counts' | 'restraint' | 'takeBackPaused'>

type WatchdogOptions = {
  readonly consumer: Watched
  /** Grows with every write of events that ends, with or without success. One batch may take many writes. */
  readonly progress: () => number
  /** Whether deliveries can be finished now: Redis and the database answer, and no outage lasts. */
  readonly canFinish: () => Promise<boolean>
  readonly logger: Logger
  readonly end: () => void
  /** Time without a finished delivery after which the worker counts as stuck, in ms. Default: 180,000. */
  readonly stuckAfterMs?: number | undefined
}

/**
 * Tells whether a worker takes nothing although deliveries wait: none is in flight, and none was finished for a minute.
 * BullMQ workers do so after some fail-overs of Redis (taskforcesh/bullmq issues 3088 and 3185). A new process would not
 * help where a dashboard has paused or limited the queue.
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

const RESTRAINT_MESSAGES = {
  paused: 'the queue is paused, waiting until it is resumed',
  limited: 'the queue has a global concurrency or rate limit, which no part of this service sets',
} as const

/** Logs a restraint of the queue: at once, then every minute, and when it has ended. */
class RestraintReport {
  readonly #logger: Logger
  readonly #line: RepeatedLine<QueueRestraint>
  #last: QueueRestraint | null = null

  constructor(logger: Logger) {
    this.#logger = logger
    this.#line = new RepeatedLine({
      everyMs: 60_000,
      write: (restraint) => logger.warn({ restraint }, RESTRAINT_MESSAGES[restraint]),
    })
  }

  async read(consumer: Pick<Watched, 'restraint' | 'takeBackPaused'>): Promise<QueueRestraint | null> {
    // Without an answer of Redis the last restraint is assumed to last.
    const restraint = await consumer.restraint().catch(() => this.#last)
    if (restraint !== null) this.#line.note(restraint)
    else if (this.#last !== null) this.#logger.info({ restraint: this.#last }, 'the queue is no longer restrained')
    if (restraint === 'paused' || this.#last === 'paused') await consumer.takeBackPaused().catch(() => undefined)
    this.#last = restraint
    return restraint
  }
}

/** Measures how long deliveries are in flight and none is finished, although Redis and the database answer. */
class Standstill {
  readonly #options: Pick<WatchdogOptions, 'consumer' | 'canFinish' | 'progress'>
  #finishedAtMs = Number.NaN
  #progress = Number.NaN
  #sinceMs = performance.now()

  constructor(options: Pick<WatchdogOptions, 'consumer' | 'canFinish' | 'progress'>) {
    this.#options = options
  }

  async lastsMs(): Promise<number> {
    const { consumer, canFinish } = this.#options
    const finishedAtMs = consumer.lastFinishedAtMs()
    const progress = this.#options.progress()
    const hasMoved = finishedAtMs !== this.#finishedAtMs || progress !== this.#progress
    const mayStandStill = consumer.inFlightCount() === 0 || hasMoved || !(await canFinish())
    this.#finishedAtMs = finishedAtMs
    this.#progress = progress
    if (mayStandStill) this.#sinceMs = performance.now()
    return performance.now() - this.#sinceMs
  }
}

const END_MESSAGES = {
  asleep: 'deliveries wait and this worker takes none, ending so that it is started afresh',
  stuck: 'this worker holds deliveries and settles none although it could, ending so that it is started afresh',
} as const

/**
 * Makes the work that ends the process after two checks in a row found it asleep, or stuck; its supervisor then starts a new
 * one. Nothing is lost: deliveries in flight return to the queue when their locks expire, and storing is idempotent.
 */
export function createWatchdog(options: WatchdogOptions): () => Promise<void> {
  const { consumer, logger, end, stuckAfterMs = STUCK_AFTER_MS } = options
  const standstill = new Standstill(options)
  const restraints = new RestraintReport(logger)
  const found = { asleep: 0, stuck: 0 }
  const note = (kind: keyof typeof found, isFound: boolean) => {
    found[kind] = isFound ? found[kind] + 1 : 0
    if (found[kind] < 2) return
    logger.fatal({ heldDeliveries: consumer.inFlightCount() }, END_MESSAGES[kind])
    end()
  }
  return async () => {
    const restraint = await restraints.read(consumer)
    note('asleep', await isAsleep(consumer, Date.now(), restraint))
    note('stuck', (await standstill.lastsMs()) >= stuckAfterMs)
  }
}
