import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { quarantineReasons, attributeFilter, type Environment, type SigningSecret } from '@persona-ingest/persona'
import { AddressSet, currentTraceParent } from '@persona-ingest/service'
import { Type, type Static } from '@sinclair/typebox'
import { acceptDelivery, deliveryOf, type AcceptDeps } from '../delivery/accept-delivery.ts'
import { BodyBudget } from '../delivery/body-budget.ts'
import { bodyReader } from '../delivery/body-reader.ts'
import type { ClockSkew } from '../delivery/clock-skew.ts'
import { newDeliveryRecord } from '../delivery/delivery-record.ts'
import { SignatureQueue } from '../delivery/signature-queue.ts'
import type { IngressEnv } from '../env.ts'
import { IngressError } from '../errors.ts'
import { protectConnection } from '../plugins/connection-limits.ts'

export type DeliveryRouteOptions = AcceptDeps & {
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
