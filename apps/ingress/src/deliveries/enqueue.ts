import { withDeadline, type Deadline } from '@persona-ingest/core'
import { readEnvelope, type Environment, type QuarantineReason } from '@persona-ingest/persona'
import { createProducer, QueueUnavailableError, type Delivery, type Producer } from '@persona-ingest/queue'
import { describeError, RepeatedLine, type Histogram, type Logger } from '@persona-ingest/service'
import { IngressError } from '../http/errors.ts'
import { BACKLOG_COUNT_DEADLINE_MS, type AcknowledgementDeadline } from './deadline.ts'

/** A delivery of the port: its quarantine reason is one of the envelope. */
type AuthenticDelivery =
  | Extract<Delivery, { kind: 'event' }>
  | (Extract<Delivery, { kind: 'quarantined' }> & { readonly reason: QuarantineReason })

/** Turns authentic bytes into a usable event, or into quarantined bytes with the reason. */
export function deliveryOf(received: {
  body: Uint8Array
  environment: Environment
  receivedAtMs: number
  requestId: string
  traceParent?: string | undefined
}): AuthenticDelivery {
  const envelope = readEnvelope(received.body, received.receivedAtMs)
  return envelope.ok
    ? { kind: 'event', eventId: envelope.eventId, ...received }
    : { kind: 'quarantined', reason: envelope.reason, eventId: envelope.eventId, ...received }
}

/** Age up to which a count of the backlog is used. @see docs/contract.md#3-environment-and-processes */
const COUNT_AGE_MS = 1000

function tooSlow(): never {
  throw new QueueUnavailableError('QUEUE_TOO_SLOW')
}

/** Refuses deliveries while more events than `limit` (0 = off) wait in the queue. */
export class Backlog {
  readonly #producer: Pick<Producer, 'counts'>
  readonly #limit: number
  #count: Promise<number> | null = null
  #countedAtMs = 0

  constructor(producer: Pick<Producer, 'counts'>, limit: number) {
    this.#producer = producer
    this.#limit = limit
  }

  /** Throws `BACKLOG_EXCEEDED` above the limit, `QUEUE_UNAVAILABLE` where Redis gives no count. */
  async refuseOverLimit(): Promise<void> {
    if (this.#limit === 0) return
    if ((await this.#recentCount()) > this.#limit) throw new IngressError('BACKLOG_EXCEEDED')
  }

  /** The deliveries of one second share a count, also a failed one. */
  async #recentCount(): Promise<number> {
    if (this.#count === null || performance.now() - this.#countedAtMs > COUNT_AGE_MS) {
      this.#countedAtMs = performance.now()
      this.#count = this.#askCount()
    }
    return this.#count
  }

  async #askCount(): Promise<number> {
    try {
      const counts = await withDeadline(BACKLOG_COUNT_DEADLINE_MS, () => this.#producer.counts(), tooSlow)
      return counts.waiting + counts.active + counts.delayed
    } catch (error) {
      throw new IngressError('QUEUE_UNAVAILABLE', error)
    }
  }
}

export type EnqueueDeps = {
  readonly producer: Pick<Producer, 'enqueue'>
  readonly backlog: Pick<Backlog, 'refuseOverLimit'>
  /** Seconds until Redis confirmed an enqueue or the ingress gave it up. */
  readonly enqueues: Histogram<'result'>
  readonly acknowledgementDeadline: AcknowledgementDeadline
}

async function confirm(delivery: Delivery, deadline: Deadline, deps: EnqueueDeps): Promise<void> {
  const stop = deps.enqueues.startTimer()
  try {
    await deps.producer.enqueue(delivery, deadline)
    // A late confirmation counts too: Redis answers again.
    deps.acknowledgementDeadline.noteConfirmed()
    stop({ result: deadline.isExceeded ? 'QUEUE_TOO_SLOW' : 'confirmed' })
  } catch (error) {
    const fault = error instanceof QueueUnavailableError ? error.code : 'UNKNOWN'
    stop({ result: fault })
    if (fault === 'QUEUE_TOO_SLOW') deps.acknowledgementDeadline.noteUnanswered()
    // Without a confirmation the event may be lost: the provider must send it again.
    throw new IngressError('QUEUE_UNAVAILABLE', error)
  }
}

/**
 * Puts an authentic delivery into the queue; resolves once it is durable.
 *
 * One deadline covers the count of the backlog and the enqueue: that of the acknowledgement. Throws an `IngressError`
 * (`QUEUE_UNAVAILABLE`, `BACKLOG_EXCEEDED`) when it is exceeded, or earlier. Parameters as in `enqueueDeadlineMs`.
 */
export async function enqueueDelivery(
  { delivery, readingMs, verifyingMs }: { delivery: Delivery; readingMs: number; verifyingMs: number },
  deps: EnqueueDeps,
): Promise<void> {
  await withDeadline(
    deps.acknowledgementDeadline.enqueueDeadlineMs(readingMs, verifyingMs),
    async (deadline) => {
      await deps.backlog.refuseOverLimit()
      await confirm(delivery, deadline, deps)
    },
    () => {
      // Also a deadline that lateness has shortened: a wrong note ends with the next confirmation, and a frozen Redis
      // must not fill a busy process with deliveries in flight.
      deps.acknowledgementDeadline.noteUnanswered()
      throw new IngressError('QUEUE_UNAVAILABLE', new QueueUnavailableError('QUEUE_TOO_SLOW'))
    },
  )
}

/** Of the other questions to Redis: probes, counts, settings. */
const QUESTION_DEADLINE_MS = 2000
const TROUBLE_EVERY_MS = 10_000

/**
 * Opens the queue for enqueues. While Redis is away, each kind of trouble is logged every 10 s at most.
 * `end` ends the process: it is called where Redis answers and refuses the database that `redisUrl` selects.
 */
export function openProducer(options: {
  readonly redisUrl: string
  readonly encryptionKeys: readonly string[]
  readonly isTraced: boolean
  readonly logger: Logger
  readonly end: () => void
}): Producer {
  const { logger, end, ...connection } = options
  const trouble = new RepeatedLine<string>({
    everyMs: TROUBLE_EVERY_MS,
    write: (fault, count) => logger.warn({ fault, count }, 'Redis connection in trouble, trying again'),
  })
  return createProducer({
    ...connection,
    deadlineMs: QUESTION_DEADLINE_MS,
    onUnusable: ({ code }) => {
      logger.fatal({ fault: code }, 'REDIS_URL: Redis refuses the number of the database, ending')
      end()
    },
    onError: (error) => trouble.note(describeError(error).code ?? 'CONNECTION_LOST'),
  })
}

const RETRY_MS = 5000

/** The settings of Redis under which a confirmed delivery survives a crash. */
const EXPECTED = { appendonly: 'yes', appendfsync: 'always', maxmemoryPolicy: 'noeviction' } as const

type Watched = {
  readonly producer: Pick<Producer, 'durability'>
  readonly logger: Logger
  /** Pause between questions during an outage, in milliseconds; default 5000. */
  readonly retryMs?: number
}

async function checkDurability({ producer, logger }: Watched): Promise<void> {
  const found = await producer.durability()
  if (found === null) {
    logger.warn(EXPECTED, 'Redis does not tell its durability settings: make sure that they are these')
    return
  }
  const wrong = Object.entries(EXPECTED).filter(([name, value]) => found[name as keyof typeof EXPECTED] !== value)
  if (wrong.length === 0) return
  const expected = Object.fromEntries(wrong)
  logger.warn({ found, expected }, 'Redis may lose what it confirmed: set it to what is expected')
}

/**
 * Warns where Redis could lose acknowledged events. It asks until Redis has answered once, also after an outage at the
 * start. Returns a function that stops the questions.
 */
export function watchDurability(watched: Watched): () => void {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const ask = () => {
    checkDurability(watched).catch(() => {
      if (!isStopped) timer = setTimeout(ask, watched.retryMs ?? RETRY_MS).unref()
    })
  }
  ask()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
