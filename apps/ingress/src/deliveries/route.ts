import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { quarantineReasons, type Environment, type SigningSecret } from '@persona-ingest/persona'
import {
  currentTraceParent,
  RepeatedLine,
  type AddressSet,
  type Counter,
  type Histogram,
} from '@persona-ingest/service'
import { Type, type Static } from '@sinclair/typebox'
import { protectConnection } from '../http/connection-limits.ts'
import { errorRow, IngressError, type IngressErrorCode } from '../http/errors.ts'
import { BodyBudget, bodyReader } from './body.ts'
import { deliveryOf, enqueueDelivery, type EnqueueDeps } from './enqueue.ts'
import { SignatureQueue, type ClockSkew } from './signature.ts'

/** The facts of one delivery for its log line and its metrics: ids and codes only. */
type DeliveryRecord = {
  outcome: 'accepted' | 'quarantined' | 'refused'
  /** A quarantine reason or a code of the error table; null for accepted deliveries. */
  reason: string | null
  /** The code of `queueFaults` that prevented the enqueue; null for all other reasons. */
  fault: string | null
  environment: Environment | null
  eventId: string | null
  /** Arrival of the last byte, until then of the headers, as `performance.now()`. */
  completeAtMs: number
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on the delivery route only, from its first hook until its log line. */
    delivery: DeliveryRecord | null
  }
}

function newDeliveryRecord(): DeliveryRecord {
  const completeAtMs = performance.now()
  return { outcome: 'refused', reason: null, fault: null, environment: null, eventId: null, completeAtMs }
}

export type DeliveryRouteOptions = EnqueueDeps & {
  /** All that may have signed a delivery. */
  readonly secrets: readonly SigningSecret[]
  readonly signatureToleranceSeconds: number
  /** Source addresses of deliveries; null: each address. */
  readonly allowlist: AddressSet | null
  readonly bodyLimitBytes: number
  /** Removes blocked attributes from a body. */
  readonly filterAttributes: (body: Uint8Array) => Uint8Array
  readonly clockSkew: ClockSkew
  /** Milliseconds since 1970. */
  readonly now: () => number
}

const MEDIA_TYPES = ['application/json', 'application/vnd.api+json']

const Answer = Type.Union([
  Type.Object({ status: Type.Literal('accepted'), eventId: Type.String() }),
  Type.Object({
    status: Type.Literal('quarantined'),
    reason: Type.Union(quarantineReasons.map((reason) => Type.Literal(reason))),
  }),
])

/** The checks before the body is read. */
function refuseByHeaders(allowlist: AddressSet | null, budget: BodyBudget): onRequestAsyncHookHandler {
  return async (request: FastifyRequest, reply) => {
    reply.raw.once('close', () => budget.release(request.raw))
    if (allowlist?.has(request.ip) === false) throw new IngressError('ADDRESS_NOT_ALLOWED')
    if (!MEDIA_TYPES.includes(request.mediaType ?? '')) throw new IngressError('CONTENT_TYPE_UNSUPPORTED')
  }
}

/** The provider numbers its attempts from 1. */
function isRetry(request: FastifyRequest): boolean {
  return Number(request.headers['persona-webhook-attempts-made'] ?? 1) > 1
}

/** Returns a function that verifies the raw bytes. It throws the `SIGNATURE_...` error of a request that is not authentic. */
function authenticator({ secrets, signatureToleranceSeconds: toleranceSeconds, now, clockSkew }: DeliveryRouteOptions) {
  const queue = new SignatureQueue()
  return async (request: FastifyRequest) => {
    const header = request.headers['persona-signature']?.toString()
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
    const nowMs = now()
    const verdict = await queue.verify({ header, body, secrets, nowMs, toleranceSeconds })
    clockSkew.observe(verdict, { nowMs, isRetry: isRetry(request) })
    if (!verdict.ok) throw new IngressError(verdict.code)
    const { environment } = verdict
    return { body, environment, receivedAtMs: nowMs, requestId: request.id, traceParent: currentTraceParent() }
  }
}

/** States: received -> refused, not authentic (401) | authentic -> refused for now (503) | in flight -> 200 or 503. */
function deliveryHandler(app: FastifyInstance, options: DeliveryRouteOptions) {
  const authenticate = authenticator(options)
  return async (request: FastifyRequest): Promise<Static<typeof Answer>> => {
    const record = (request.delivery ??= newDeliveryRecord())
    const beganAtMs = record.completeAtMs
    record.completeAtMs = performance.now()
    const received = await authenticate(request)
    protectConnection(request)
    record.environment = received.environment
    if (app.readiness.isShuttingDown) throw new IngressError('DRAINING')

    const delivery = deliveryOf({ ...received, body: options.filterAttributes(received.body) })
    record.eventId = delivery.eventId
    const readingMs = record.completeAtMs - beganAtMs
    const verifyingMs = performance.now() - record.completeAtMs
    await app.inFlight.track(async () => enqueueDelivery({ delivery, readingMs, verifyingMs }, options))
    if (delivery.kind === 'event') {
      record.outcome = 'accepted'
      return { status: 'accepted', eventId: delivery.eventId }
    }
    record.outcome = 'quarantined'
    record.reason = delivery.reason
    return { status: 'quarantined', reason: delivery.reason }
  }
}

/**
 * `POST /webhooks/persona`: one delivery. The answer comes when the event is durably in the queue.
 *
 * @see docs/contract.md#2-http-the-ingress for the order of the checks
 */
export const deliveryRoute: FastifyPluginAsyncTypebox<DeliveryRouteOptions> = async (app, options) => {
  // The signature covers the bytes as sent: they are verified before they are parsed.
  app.removeAllContentTypeParsers()
  const budget = new BodyBudget()
  app.addContentTypeParser('*', bodyReader({ limitBytes: options.bodyLimitBytes, budget }))

  const onRequest = refuseByHeaders(options.allowlist, budget)
  const schema = { response: { 200: Answer } }
  app.post('/webhooks/persona', { onRequest, schema }, deliveryHandler(app, options))
}

export type DeliveryLogOptions = {
  readonly deliveries: Counter<'outcome' | 'reason' | 'environment'>
  /** Seconds from the last byte of a delivery to its answer. */
  readonly answers: Histogram<'outcome'>
}

const SUMMARY_EVERY_MS = 10_000

/** `BODY_BUDGET_EXCEEDED` is no outage: an unauthentic request causes it too. */
function isOutage(record: DeliveryRecord): boolean {
  if (record.reason === 'BODY_BUDGET_EXCEEDED') return false
  return record.reason !== null && errorRow(record.reason as IngressErrorCode).status >= 500
}

/** Refusals that any client can cause have no line at `info`: a summary counts them. */
function levelOf(record: DeliveryRecord): 'info' | 'warn' | 'debug' {
  if (record.outcome === 'accepted') return 'info'
  return record.outcome === 'quarantined' || isOutage(record) ? 'warn' : 'debug'
}

async function registerDeliveryLog(app: FastifyInstance, { deliveries, answers }: DeliveryLogOptions): Promise<void> {
  const refusals = new RepeatedLine<string>({
    everyMs: SUMMARY_EVERY_MS,
    write: (reason, count) => app.log.warn({ reason, count }, 'deliveries refused'),
  })
  app.decorateRequest('delivery', null)
  app.addHook('onRequest', async (request: FastifyRequest) => {
    request.delivery = newDeliveryRecord()
  })
  // `onResponse` would not be called where the client has closed its connection.
  app.addHook('onSend', async (request: FastifyRequest) => {
    const record = request.delivery
    if (record === null) return
    request.delivery = null
    const { completeAtMs, ...logged } = record
    const { outcome, reason, environment } = record
    deliveries.inc({ outcome, reason: reason ?? '', environment: environment ?? 'unknown' })
    answers.observe({ outcome }, (performance.now() - completeAtMs) / 1000)
    const level = levelOf(record)
    request.log[level](logged, 'delivery answered')
    if (level === 'debug' && reason !== null) refusals.note(reason)
  })
}

/** Writes one log line and one count for each delivery, of every outcome. Registered in the scope of the delivery route. */
export const deliveryLog = fastifyPlugin(registerDeliveryLog, { name: 'delivery-log', fastify: '5.x' })
