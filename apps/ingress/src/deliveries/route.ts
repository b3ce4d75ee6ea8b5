import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { attributeFilter, type Environment, quarantineReasons, type SigningSecret } from '@persona-ingest/persona'
import { AddressSet, currentTraceParent, RepeatedLine } from '@persona-ingest/service'
import { Type, type Static } from '@sinclair/typebox'
import { acceptDelivery, deliveryOf, type AcceptDeps } from './enqueue.ts'
import { BodyBudget, bodyReader } from './body.ts'
import { type ClockSkew, SignatureQueue } from './signature.ts'
import type { IngressEnv } from '../env.ts'
import { errorRow, IngressError, type IngressErrorCode } from '../http/errors.ts'
import { protectConnection } from '../http/connection-limits.ts'

import fastifyPlugin from 'fastify-plugin'

import type { IngressMetrics } from '../metrics.ts'

/** What is known of one delivery, for its log line and its metrics. Ids and codes only. */
type DeliveryRecord = {
  outcome: 'accepted' | 'quarantined' | 'refused'
  /** A quarantine reason or a code of the error table; null for accepted ones. */
  reason: string | null
  /** Why the queue could not take it: a code of `queueFaults`; null for every other reason. */
  fault: string | null
  environment: Environment | null
  eventId: string | null
  /** When the last byte (or, until then, the headers) was here, as `performance.now()`. */
  completeAtMs: number
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on the delivery route only, from its first hook until it has been reported. */
    delivery: DeliveryRecord | null
  }
}

/** A delivery of which nothing is known yet but that it is here. */
function newDeliveryRecord(): DeliveryRecord {
  const completeAtMs = performance.now()
  return { outcome: 'refused', reason: null, fault: null, environment: null, eventId: null, completeAtMs }
}

type DeliveryRouteOptions = AcceptDeps & {
  readonly env: IngressEnv
  readonly now: () => number
  readonly clockSkew: ClockSkew
}

const MEDIA_TYPES = ['application/json', 'application/vnd.api+json']

const Answer = Type.Union([
  Type.Object({ status: Type.Literal('accepted'), eventId: Type.String() }),
  Type.Object({
    status: Type.Literal('quarantined'),
    reason: Type.Union(quarantineReasons.map((reason) => Type.Literal(reason))),
  }),
])

function secretsOf(values: readonly string[], environment: Environment): SigningSecret[] {
  return values.map((value) => ({ value, environment }))
}

/**
 * What is judged before the body is read; the body's limits come next.
 *
 * @see docs/contract.md#2-http-the-ingress for the order of the checks
 */
function refuseByHeaders(env: IngressEnv, budget: BodyBudget): onRequestAsyncHookHandler {
  const listed = env.IP_ALLOWLIST.length === 0 ? null : new AddressSet(env.IP_ALLOWLIST)
  return async (request: FastifyRequest, reply) => {
    reply.raw.once('close', () => budget.release(request.raw))
    if (listed?.has(request.ip) === false) throw new IngressError('ADDRESS_NOT_ALLOWED')
    if (!MEDIA_TYPES.includes(request.mediaType ?? '')) throw new IngressError('CONTENT_TYPE_UNSUPPORTED')
  }
}

/** The provider counts its attempts, 1 for the first. */
function isRetry(request: FastifyRequest): boolean {
  return Number(request.headers['persona-webhook-attempts-made'] ?? 1) > 1
}

/** Verifies the raw bytes. Throws the `SIGNATURE_...` error, else tells what came. */
function authenticator({ env, now, clockSkew }: DeliveryRouteOptions) {
  const secrets = [
    ...secretsOf(env.PERSONA_WEBHOOK_SECRETS, 'production'),
    ...secretsOf(env.PERSONA_SANDBOX_WEBHOOK_SECRETS, 'sandbox'),
  ]
  const toleranceSeconds = env.SIGNATURE_TOLERANCE_SECONDS
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

/** Its states: complete -> refused as not authentic | authentic -> refused for now (503) | enqueued -> answered. */
function deliveryHandler(app: FastifyInstance, options: DeliveryRouteOptions) {
  const authenticate = authenticator(options)
  const { ATTRIBUTE_BLOCKLIST: blocklist, DROP_FILE_TOKENS: dropsFileTokens } = options.env
  const filterAttributes = attributeFilter({ blocklist, dropsFileTokens })
  return async (request: FastifyRequest): Promise<Static<typeof Answer>> => {
    const record = (request.delivery ??= newDeliveryRecord())
    const beganAtMs = record.completeAtMs
    record.completeAtMs = performance.now()
    const received = await authenticate(request)
    protectConnection(request)
    record.environment = received.environment
    if (app.readiness.isShuttingDown) throw new IngressError('DRAINING')

    const delivery = deliveryOf({ ...received, body: filterAttributes(received.body) })
    record.eventId = delivery.eventId
    const readingMs = record.completeAtMs - beganAtMs
    const verifyingMs = performance.now() - record.completeAtMs
    await app.heldDeliveries.hold(async () => acceptDelivery({ delivery, readingMs, verifyingMs }, options))
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
 * `POST /webhooks/persona`: one delivery. The answer comes once the event is durably in the queue.
 *
 * @see docs/contract.md#2-http-the-ingress for the order of the checks
 */
export const deliveryRoutes: FastifyPluginAsyncTypebox<DeliveryRouteOptions> = async (app, options) => {
  // The signature covers the bytes as sent, so nothing may parse them before it is verified.
  app.removeAllContentTypeParsers()
  const budget = new BodyBudget()
  app.addContentTypeParser('*', bodyReader({ limitBytes: options.env.BODY_LIMIT_BYTES, budget }))

  const onRequest = refuseByHeaders(options.env, budget)
  const schema = { response: { 200: Answer } }
  app.post('/webhooks/persona', { onRequest, schema }, deliveryHandler(app, options))
}

const SUMMARY_EVERY_MS = 10_000

/** `BODY_BUDGET_EXCEEDED` is none: it is said before anybody knows whose delivery it is. */
function isOutage(record: DeliveryRecord): boolean {
  if (record.reason === 'BODY_BUDGET_EXCEEDED') return false
  return record.reason !== null && errorRow(record.reason as IngressErrorCode).status >= 500
}

/** `warn` = a person may care. What anybody can send costs no line each at `info`: a summary stands for it. */
function levelOf(record: DeliveryRecord): 'info' | 'warn' | 'debug' {
  if (record.outcome === 'accepted') return 'info'
  return record.outcome === 'quarantined' || isOutage(record) ? 'warn' : 'debug'
}

function count(record: DeliveryRecord, metrics: IngressMetrics): void {
  const { outcome, reason, environment } = record
  metrics.deliveries.inc({ outcome, reason: reason ?? '', environment: environment ?? 'unknown' })
  metrics.answers.observe({ outcome }, (performance.now() - record.completeAtMs) / 1000)
}

/** One log line and one count per delivery, whatever became of it. Encapsulated with the route that it reports on. */
async function registerDeliveryReports(app: FastifyInstance, { metrics }: { metrics: IngressMetrics }): Promise<void> {
  const refusals = new RepeatedLine<string>({
    everyMs: SUMMARY_EVERY_MS,
    write: (reason, count) => app.log.warn({ reason, count }, 'deliveries refused'),
  })
  app.decorateRequest('delivery', null)
  app.addHook('onRequest', async (request: FastifyRequest) => {
    request.delivery = newDeliveryRecord()
  })
  // When the answer is decided, and not `onResponse`: that one never comes where the client has gone meanwhile.
  app.addHook('onSend', async (request: FastifyRequest) => {
    const record = request.delivery
    if (record === null) return
    request.delivery = null
    count(record, metrics)
    const { completeAtMs: _, ...told } = record
    const level = levelOf(record)
    request.log[level](told, 'delivery answered')
    if (level === 'debug' && record.reason !== null) refusals.note(record.reason)
  })
}

export const deliveryReports = fastifyPlugin(registerDeliveryReports, { name: 'delivery-reports', fastify: '5.x' })
