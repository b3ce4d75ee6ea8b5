import { readEnvelope, type Environment, type QuarantineReason } from '@persona-ingest/persona'
import { createProducer, type Delivery, type Producer, QueueUnavailableError } from '@persona-ingest/queue'
import { type Deadline, withDeadline } from '@persona-ingest/core'
import { IngressError } from '../http/errors.ts'
import type { IngressMetrics } from '../metrics.ts'
import type { Patience } from './deadline.ts'
import { describeError, type Logger, RepeatedLine } from '@persona-ingest/service'
import type { IngressEnv } from '../env.ts'

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

export type AcceptDeps = {
  readonly producer: Pick<Producer, 'enqueue'>
  readonly backlog: Pick<Backlog, 'refuseOverLimit'>
  readonly metrics: Pick<IngressMetrics, 'enqueues'>
  readonly patience: Patience
}

/** What came over the port: its reasons are those of the envelope, not just any text. */
type AuthenticDelivery =
  | Extract<Delivery, { kind: 'event' }>
  | (Extract<Delivery, { kind: 'quarantined' }> & { readonly reason: QuarantineReason })

/** Turns authentic bytes into what is enqueued: a usable event, or bytes to be kept with the reason. */
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

async function enqueue(
  delivery: Delivery,
  { producer, metrics, patience }: AcceptDeps,
  deadline: Deadline,
): Promise<void> {
  const stop = metrics.enqueues.startTimer()
  try {
    await producer.enqueue(delivery, deadline)
    // A late confirmation counts too: Redis answers again.
    patience.noteConfirmed()
    stop({ result: deadline.signal.aborted ? 'QUEUE_TOO_SLOW' : 'confirmed' })
  } catch (error) {
    const fault = error instanceof QueueUnavailableError ? error.code : 'UNKNOWN'
    stop({ result: fault })
    if (fault === 'QUEUE_TOO_SLOW') patience.noteTooSlow()
    // Whatever went wrong, it is not stored: the provider must send it again.
    throw new IngressError('QUEUE_UNAVAILABLE', error)
  }
}

/**
 * Puts an authentic delivery into the queue; resolves once it is durable.
 *
 * `readingMs`, `verifyingMs`: how long its body took to be read, and its signature to be verified. The deadline of the
 * acknowledgement is the one deadline of the enqueue. Throws an `IngressError` (`QUEUE_UNAVAILABLE`, `BACKLOG_EXCEEDED`)
 * when the deadline is exceeded, or earlier.
 */
export async function acceptDelivery(
  { delivery, readingMs, verifyingMs = 0 }: { delivery: Delivery; readingMs: number; verifyingMs?: number },
  deps: AcceptDeps,
): Promise<void> {
  await withDeadline(
    deps.patience.forDelivery(readingMs, verifyingMs),
    async (deadline) => {
      await deps.backlog.refuseOverLimit()
      await enqueue(delivery, deps, deadline)
    },
    () => {
      deps.patience.noteTooSlow()
      throw new IngressError('QUEUE_UNAVAILABLE', new QueueUnavailableError('QUEUE_TOO_SLOW'))
    },
  )
}

/** For questions to Redis. The deadline of an enqueue is that of its acknowledgement. */
const QUESTION_DEADLINE_MS = 2000
const TROUBLE_EVERY_MS = 10_000

/**
 * Opens the queue for enqueues. Redis may be away: it says so, at most every 10 s per kind of trouble, and goes on.
 * `end` ends the process where Redis answers and refuses what REDIS_URL selects.
 */
export function openProducer(
  env: Pick<IngressEnv, 'REDIS_URL' | 'QUEUE_ENCRYPTION_KEYS'> & { isTraced: boolean },
  logger: Logger,
  end: () => void,
): Producer {
  const trouble = new RepeatedLine<string>({
    everyMs: TROUBLE_EVERY_MS,
    write: (fault, count) => logger.warn({ fault, count }, 'Redis connection in trouble, trying again'),
  })
  return createProducer({
    redisUrl: env.REDIS_URL,
    deadlineMs: QUESTION_DEADLINE_MS,
    encryptionKeys: env.QUEUE_ENCRYPTION_KEYS,
    isTraced: env.isTraced,
    onUnusable: ({ code }) => {
      logger.fatal({ fault: code }, 'REDIS_URL: Redis refuses the number of the database, ending')
      end()
    },
    onError: (error) => trouble.note(describeError(error).code ?? 'CONNECTION_LOST'),
  })
}

const RETRY_MS = 5000

/** What Redis must say so that nothing acknowledged is lost. */
const EXPECTED = { appendonly: 'yes', appendfsync: 'always', maxmemoryPolicy: 'noeviction' } as const

type Watched = {
  readonly producer: Pick<Producer, 'durability'>
  readonly logger: Logger
  /** Pause before asking again after an outage; default 5000. */
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
 * Warns where Redis could lose events that we have acknowledged. Asks until Redis has answered once; an outage at start
 * is no answer. Returns what stops the asking.
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
