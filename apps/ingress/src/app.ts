import { FastifyOtelInstrumentation } from '@fastify/otel'
import { fastify, type FastifyInstance, type FastifyPluginCallback } from 'fastify'
import { attributeFilter, type Environment, type SigningSecret } from '@persona-ingest/persona'
import type { Producer } from '@persona-ingest/queue'
import { AddressSet, Readiness, type Logger, type Registry } from '@persona-ingest/service'
import { memoryRelease } from './deliveries/body.ts'
import { AcknowledgementDeadline, LoopLateness } from './deliveries/deadline.ts'
import { Backlog, watchDurability } from './deliveries/enqueue.ts'
import { deliveryLog, deliveryRoute } from './deliveries/route.ts'
import { ClockSkew } from './deliveries/signature.ts'
import { warningsOf, type IngressEnv } from './env.ts'
import { errorAnswers, Refusals } from './http/answers.ts'
import { connectionLimits, serverOptions } from './http/connection-limits.ts'
import { gracefulShutdown } from './http/shutdown.ts'
import { createMetrics } from './metrics.ts'

export type AppDeps = {
  readonly env: IngressEnv
  readonly logger: Logger
  /** Opened and closed by the caller. */
  readonly producer: Pick<Producer, 'enqueue' | 'probe' | 'counts' | 'durability'>
  readonly registry: Registry
  /** Whether requests have OpenTelemetry spans; the process has started tracing. Default: false. */
  readonly isTraced?: boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Connections that wait to be accepted. Node.js accepts one per pass of its event loop, also one that was reset meanwhile.
 * With 4096, 50 clients that reset each connection after 5 ms delayed others by 8 s.
 *
 * With Node.js' default of 511 an honest burst of 1,000 overflowed: the kernel drops the connection, and TCP sends again
 * after 1, 3 and 7 s. Answers after 13.6 s were measured.
 */
export const LISTEN_BACKLOG = 1024

/** OpenTelemetry spans of requests, without URLs and texts of errors: these may contain personal data. */
function requestSpans(): FastifyPluginCallback {
  const instrumentation = new FastifyOtelInstrumentation({
    recordExceptions: false,
    instrumentHooks: false,
    requestHook: (span, request) => void span.setAttribute('url.path', request.routeOptions.url ?? ''),
    ignorePaths: ({ url }) => url.startsWith('/livez') || url.startsWith('/readyz'),
  })
  return instrumentation.plugin()
}

/** Logs settings, of the environment and of Redis, that work but may be unsafe. */
function warnAtStart(app: FastifyInstance, { env, logger, producer }: AppDeps): void {
  let stopWatching = () => {}
  app.addHook('onReady', async () => {
    for (const { message, ...details } of warningsOf(env)) logger.warn(details, message)
    stopWatching = watchDurability({ producer, logger })
  })
  app.addHook('onClose', async () => stopWatching())
}

function secretsOf(values: readonly string[], environment: Environment): SigningSecret[] {
  return values.map((value) => ({ value, environment }))
}

/** The part of the environment that concerns one delivery. */
function deliverySettings(env: IngressEnv) {
  return {
    secrets: [
      ...secretsOf(env.PERSONA_WEBHOOK_SECRETS, 'production'),
      ...secretsOf(env.PERSONA_SANDBOX_WEBHOOK_SECRETS, 'sandbox'),
    ],
    signatureToleranceSeconds: env.SIGNATURE_TOLERANCE_SECONDS,
    allowlist: env.IP_ALLOWLIST.length === 0 ? null : new AddressSet(env.IP_ALLOWLIST),
    bodyLimitBytes: env.BODY_LIMIT_BYTES,
    filterAttributes: attributeFilter({
      blocklist: env.ATTRIBUTE_BLOCKLIST,
      dropsFileTokens: env.DROP_FILE_TOKENS,
    }),
  }
}

/**
 * Builds the whole public application; it neither listens nor does I/O until it is ready.
 * Then it has `readiness`, `inFlight` and `shutDown()`.
 */
export function buildApp(deps: AppDeps): FastifyInstance {
  const { env, logger, producer, registry, isTraced = false, now } = deps
  const readiness = new Readiness({ checks: { redis: async () => producer.probe() } })
  const { refusedRequests, deliveries, answers, enqueues, signatureAges, clockSkew } = createMetrics(
    registry,
    readiness,
  )
  const refusals = new Refusals({ refusedRequests, logger })
  const loopLateness = new LoopLateness()

  const app = fastify(
    serverOptions({ trustProxy: env.TRUST_PROXY, bodyLimitBytes: env.BODY_LIMIT_BYTES }, logger, refusals),
  )
  app.addHook('onReady', async () => loopLateness.reset())
  app.addHook('onClose', async () => loopLateness.close())
  if (isTraced) app.register(requestSpans())
  app.register(connectionLimits)
  app.register(memoryRelease)
  app.register(errorAnswers, { refusals })
  app.register(gracefulShutdown, { readiness, timeoutMs: env.DRAIN_TIMEOUT_MS })
  warnAtStart(app, deps)
  app.register(async (scope) => {
    scope.register(deliveryLog, { deliveries, answers })
    scope.register(deliveryRoute, {
      ...deliverySettings(env),
      producer,
      backlog: new Backlog(producer, env.MAX_BACKLOG),
      enqueues,
      acknowledgementDeadline: new AcknowledgementDeadline(loopLateness),
      clockSkew: new ClockSkew({ ages: signatureAges, skew: clockSkew, logger }),
      now,
    })
  })
  return app
}
