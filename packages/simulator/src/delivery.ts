import { signatureHeader } from '@persona-ingest/persona'
import { request, type Dispatcher } from 'undici'

/** The provider gives up on an answer after this long. */
const ANSWER_TIMEOUT_MS = 5000
/** One first attempt and seven retries. */
export const MAX_ATTEMPTS = 8
const acknowledging: ReadonlySet<number> = new Set([200, 201, 202, 204])

export type DeliveryRequest = {
  readonly url: string
  readonly body: Uint8Array
  /** The body is signed with each of them, as during a rotation. */
  readonly secrets: readonly string[]
  readonly nowMs: number
  /** 1 for the first. */
  readonly attempt: number
  readonly firstAttemptedAtMs: number
  readonly dispatcher?: Dispatcher | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * What came of one attempt.
 *
 * `answer` is the status, `timeout` (no answer in 5 s), or the code of the connection's error (`ECONNREFUSED`);
 * `isAcknowledged` is true for 200, 201, 202 and 204, and false means that the provider would send it again.
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
