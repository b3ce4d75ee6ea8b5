import { EventEmitter, once } from 'node:events'
import { setTimeout as rest } from 'node:timers/promises'
import { signatureHeader } from '@persona-ingest/persona'
import { request, type Dispatcher } from 'undici'

/** The provider's deadline for an answer. */
const ANSWER_TIMEOUT_MS = 5000
/** One first attempt and seven retries. */
const MAX_ATTEMPTS = 8
const acknowledging: ReadonlySet<number> = new Set([200, 201, 202, 204])

export type DeliveryRequest = {
  readonly url: string
  readonly body: Uint8Array
  /** Each of them signs the body, as during a rotation. */
  readonly secrets: readonly string[]
  readonly nowMs: number
  /** 1 for the first. */
  readonly attempt: number
  readonly firstAttemptedAtMs: number
  readonly dispatcher?: Dispatcher | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * The result of one attempt. `answer` is the status, `timeout` (no answer in 5 s), or the code of the connection's error
 * (`ECONNREFUSED`). `isAcknowledged` is true for 200, 201, 202 and 204; otherwise the provider sends again.
 */
export type DeliveryResult = {
  readonly answer: number | string
  readonly isAcknowledged: boolean
  readonly latencyMs: number
  /** The body of the answer, cut at 64 KiB. */
  readonly text: string
}

function headersOf(delivery: DeliveryRequest): Record<string, string> {
  const timestampSeconds = Math.floor(delivery.nowMs / 1000)
  return {
    'content-type': 'application/json; charset=utf-8',
    'user-agent': 'Persona-Webhooks/1.0 (simulated)',
    'persona-signature': signatureHeader({ body: delivery.body, secrets: delivery.secrets, timestampSeconds }),
    'persona-webhook-attempts-made': String(delivery.attempt),
    'persona-webhook-attempts-left': String(MAX_ATTEMPTS - delivery.attempt),
    'persona-webhook-first-attempted-at': String(Math.floor(delivery.firstAttemptedAtMs / 1000)),
  }
}

function failureOf(error: unknown): string {
  if (!(error instanceof Error)) return 'error'
  if (error.name === 'TimeoutError') return 'timeout'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

/**
 * Sends one attempt to deliver an event, signed and with the headers of the provider. Never rejects.
 *
 * @see https://docs.withpersona.com/quickstart-webhooks
 */
export async function sendDelivery(delivery: DeliveryRequest): Promise<DeliveryResult> {
  const startedAt = performance.now()
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
  try {
    const response = await request(delivery.url, {
      method: 'POST',
      headers: headersOf(delivery),
      body: delivery.body,
      signal: delivery.signal === undefined ? timeout : AbortSignal.any([timeout, delivery.signal]),
      ...(delivery.dispatcher === undefined ? {} : { dispatcher: delivery.dispatcher }),
    })
    const text = (await response.body.text()).slice(0, 65_536)
    const latencyMs = performance.now() - startedAt
    return { answer: response.statusCode, isAcknowledged: acknowledging.has(response.statusCode), latencyMs, text }
  } catch (error) {
    return { answer: failureOf(error), isAcknowledged: false, latencyMs: performance.now() - startedAt, text: '' }
  }
}

/**
 * Returns the provider's wait in ms after so many attempts; null after the last one.
 *
 * 3 s, then n to the sixth: 64, 729, 4096, 15625, 46656, 117649 s; 51 hours in all.
 *
 * @see https://docs.withpersona.com/webhooks
 */
export function retryWaitMs(attemptsMade: number): number | null {
  if (attemptsMade >= MAX_ATTEMPTS) return null
  return attemptsMade <= 1 ? 3000 : attemptsMade ** 6 * 1000
}

/** One attempt at one planned delivery. */
export type Attempt = {
  /** A number of the plan. */
  readonly planned: number
  /** 1 for the first. */
  readonly attempt: number
  readonly firstAttemptedAtMs: number
}

type AttemptSourceOptions = {
  readonly plan: Uint32Array
  /** New deliveries a second; undefined: no limit. */
  readonly ratePerSecond: number | undefined
  /** Time in ms after which no new delivery starts; retries go on. */
  readonly durationMs: number
  /** Divides the waits of the provider's retry schedule. */
  readonly timeCompression: number
  readonly signal: AbortSignal
}

/** Returns the attempts of a simulation at their time: planned ones at the rate, retries by the provider's schedule. */
export class AttemptSource {
  readonly #options: AttemptSourceOptions
  readonly #startedAt = performance.now()
  readonly #changed = new EventEmitter().setMaxListeners(Infinity)
  readonly #retryTimers = new Set<NodeJS.Timeout>()
  readonly #ready: Attempt[] = []
  #position = 0
  #inFlight = 0

  constructor(options: AttemptSourceOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => {
      for (const timer of this.#retryTimers) clearTimeout(timer)
      this.#changed.emit('change')
    })
  }

  /** Deliveries of the plan that have begun. */
  get begun(): number {
    return this.#position
  }

  /** Deliveries that wait for their next attempt. */
  get retriesWaiting(): number {
    return this.#retryTimers.size + this.#ready.length
  }

  /** Resolves with the next attempt at its time; with null after the last one. Call `finish` for each. */
  async next(): Promise<Attempt | null> {
    while (!this.#options.signal.aborted) {
      const attempt = this.#nextRetry() ?? (await this.#nextPlanned())
      if (attempt !== undefined) return attempt
      if (this.#inFlight + this.retriesWaiting === 0) break
      await once(this.#changed, 'change')
    }
    return null
  }

  /** Ends an attempt. Returns true where it failed and the schedule has no further attempt. */
  finish(attempt: Attempt, isAcknowledged: boolean): boolean {
    this.#inFlight -= 1
    const waitMs = isAcknowledged ? undefined : retryWaitMs(attempt.attempt)
    if (typeof waitMs === 'number' && !this.#options.signal.aborted) this.#retry(attempt, waitMs)
    this.#changed.emit('change')
    return waitMs === null
  }

  #retry(attempt: Attempt, waitMs: number): void {
    const timer = setTimeout(() => {
      this.#retryTimers.delete(timer)
      this.#ready.push({ ...attempt, attempt: attempt.attempt + 1 })
      this.#changed.emit('change')
    }, waitMs / this.#options.timeCompression)
    this.#retryTimers.add(timer)
  }

  #nextRetry(): Attempt | undefined {
    const attempt = this.#ready.shift()
    if (attempt !== undefined) this.#inFlight += 1
    return attempt
  }

  async #nextPlanned(): Promise<Attempt | undefined> {
    const { plan, ratePerSecond, durationMs, signal } = this.#options
    const elapsedMs = performance.now() - this.#startedAt
    const dueMs = ratePerSecond === undefined ? elapsedMs : (this.#position / ratePerSecond) * 1000
    const planned = plan[this.#position]
    if (planned === undefined || dueMs > durationMs) return undefined
    this.#position += 1
    this.#inFlight += 1
    try {
      if (dueMs > elapsedMs) await rest(dueMs - elapsedMs, undefined, { signal })
    } catch {
      // Aborted while waiting: this delivery has not begun.
      this.#position -= 1
      this.#inFlight -= 1
      return undefined
    }
    return { planned, attempt: 1, firstAttemptedAtMs: Date.now() }
  }
}
