import { randomUUID } from 'node:crypto'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyPluginCallback,
  type FastifyServerOptions,
} from 'fastify'
import { attributeFilter, type Environment, type SigningSecret } from '@persona-ingest/persona'
import type { Producer } from '@persona-ingest/queue'
import { AddressSet, Readiness, type Logger, type Registry } from '@persona-ingest/service'
import { memoryRelease } from './deliveries/body.ts'
import { AcknowledgementDeadline, LoopLateness } from './deliveries/deadline.ts'
import { Backlog, watchDurability } from './deliveries/enqueue.ts'
import { deliveryLog, deliveryRoute } from './deliveries/route.ts'
import { ClockSkew } from './deliveries/signature.ts'
import { warningsOf, type IngressEnv } from './env.ts'
import { answerClientError, errorAnswers, Refusals, unroutableAnswerer } from './http/answers.ts'
import { connectionLimits } from './http/connection-limits.ts'
import { BoundedRequest } from './http/node-http-quirks.ts'
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

/** Twice the time that the provider waits for an answer. */
const REQUEST_TIMEOUT_MS = 10_000

/**
 * Connections that wait to be accepted. Node.js accepts one per pass of its event loop, also one that was reset meanwhile.
 * With 4096, 50 clients that reset each connection after 5 ms delayed others by 8 s.
 *
 * With Node.js' default of 511 an honest burst of 1,000 overflowed: the kernel drops the connection, and TCP sends again
 * after 1, 3 and 7 s. Answers after 13.6 s were measured.
 */
export const LISTEN_BACKLOG = 1024

/**
 * A number is the number of trusted hops, counted from the socket. Fastify 5.12 reads a number as "trust nobody".
 *
 * Lists are evaluated here too: Fastify throws a TypeError for ranges such as 0.0.0.0/0, and does not recognize the address
 * of a proxy with a port.
 */
function trustedProxies(trustProxy: IngressEnv['TRUST_PROXY']): NonNullable<FastifyServerOptions['trustProxy']> {
  if (typeof trustProxy === 'boolean') return trustProxy
  if (typeof trustProxy === 'number') return (_address, hop) => hop < trustProxy
  const proxies = new AddressSet(trustProxy)
  return (address) => proxies.has(address)
}

/** Every limit is set on purpose, with its reason. */
function serverOptions(env: IngressEnv, logger: Logger, refusals: Refusals) {
  return {
    loggerInstance: logger as FastifyBaseLogger,
    // Fastify's lines contain URLs and client addresses (personal data); `deliveryLog` writes one line per delivery.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // Unique across processes: the log lines of the worker contain it too.
    genReqId: () => randomUUID(),
    trustProxy: trustedProxies(env.TRUST_PROXY),
    bodyLimit: env.BODY_LIMIT_BYTES,
    // During the shutdown the routes answer requests on kept connections, with the error DRAINING.
    return503OnClosing: false,
    // For the whole request, a slow body included.
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Silence in either direction, also of a client that does not read its answer. Above the longest honest silence: 4 s
    // between the last byte and the answer.
    connectionTimeout: 15_000,
    // Above the idle time of usual load balancers (60 s): they would reuse a connection that the server has just closed.
    keepAliveTimeout: 75_000,
    // No maxRequestsPerSocket: the provider has few and long connections.
    http: {
      // Node.js checks every 30 s by default: the timeout of 10 s would be one of 40 s.
      connectionsCheckingInterval: 1000,
      headersTimeout: 5000,
      // The default of Node.js: signatures of a rotation take 200 bytes, proxies and OAuth tokens add a few KiB.
      maxHeaderSize: 16_384,
      IncomingMessage: BoundedRequest,
      // A missing Host is harmless, and Node.js would refuse it with an empty answer.
      requireHostHeader: false,
    },
    frameworkErrors: unroutableAnswerer(refusals),
    clientErrorHandler: (error, socket) => answerClientError(error, socket, refusals),
  } satisfies FastifyServerOptions & { http: object }
}

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

  const app = fastify(serverOptions(env, logger, refusals))
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
