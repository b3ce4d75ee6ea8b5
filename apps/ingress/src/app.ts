import {
  fastify,
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyPluginCallback,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import type { Producer } from '@persona-ingest/queue'
import { AddressSet, type Logger, Readiness, type Registry } from '@persona-ingest/service'
import { Backlog, watchDurability } from './deliveries/enqueue.ts'
import { ClockSkew } from './deliveries/signature.ts'
import { LoopLateness, Patience } from './deliveries/deadline.ts'
import type { IngressEnv } from './env.ts'
import { createMetrics } from './metrics.ts'
import { connectionLimits } from './http/connection-limits.ts'
import { deliveryReports, deliveryRoutes } from './deliveries/route.ts'
import { draining, healthRoutes } from './http/shutdown.ts'
import { answerClientError, errorAnswerer, errorAnswers, Refusals } from './http/answers.ts'
import { memoryRelease } from './deliveries/body.ts'

import { randomUUID } from 'node:crypto'
import { BoundedRequest } from './http/node-http-quirks.ts'

import { FastifyOtelInstrumentation } from '@fastify/otel'

import fastifyPlugin from 'fastify-plugin'

/** Spans of OpenTelemetry for requests. What is in an address or an error's text may be anything, and is left out. */
function requestSpans(): FastifyPluginCallback {
  const instrumentation = new FastifyOtelInstrumentation({
    recordExceptions: false,
    instrumentHooks: false,
    requestHook: (span, request) => void span.setAttribute('url.path', request.routeOptions.url ?? ''),
    ignorePaths: ({ url }) => url.startsWith('/livez') || url.startsWith('/readyz'),
  })
  return instrumentation.plugin()
}

/** Twice what the provider waits for an answer: whoever sends slower than that is not the provider, or not there. */
const REQUEST_TIMEOUT_MS = 10_000

/**
 * Connections that wait to be accepted. Node.js accepts one per pass of its event loop, in their order, and the kernel
 * hands out those that were reset meanwhile too. With 4096, 50 clients that reset each connection after 5 ms made others
 * wait 8 s. With Node.js' default of 511 an honest burst of 1,000 overflowed: the kernel drops what the client takes for
 * sent, and TCP sends again after 1, 3, 7 s; answers after 13.6 s were measured.
 */
export const LISTEN_BACKLOG = 1024

/**
 * Fastify reads a bare number as "trust nobody" (5.12), since a hop count cannot tell a proxy from a direct client. Here it
 * means that many hops, counted from the socket. Safe only where nothing but the proxies reaches the port, which the log
 * says at start. A list is ours to judge too: Fastify refuses ranges such as 0.0.0.0/0 with a TypeError, and takes no
 * address with a port for a proxy's.
 *
 * @see docs/contract.md#3-environment-and-processes
 */
function trustedProxies(trustProxy: IngressEnv['TRUST_PROXY']): NonNullable<FastifyServerOptions['trustProxy']> {
  if (typeof trustProxy === 'boolean') return trustProxy
  if (typeof trustProxy === 'number') return (_address, hop) => hop < trustProxy
  const proxies = new AddressSet(trustProxy)
  return (address) => proxies.has(address)
}

/** Fastify finds no route for a URL that it cannot decode, so that neither our hooks nor our error handler run. */
function unroutableAnswerer(refusals: Refusals) {
  const answerError = errorAnswerer(refusals)
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    reply.header('connection', 'close')
    answerError(error, request, reply)
  }
}

/** Fastify's own options: every limit on purpose, with its reason. */
export function serverOptions(env: IngressEnv, logger: Logger, refusals: Refusals) {
  return {
    loggerInstance: logger as FastifyBaseLogger,
    // Fastify's lines hold URLs and client addresses (personal data); we write one line of our own per delivery.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // Unique over all processes: the worker's log lines carry it too.
    genReqId: () => randomUUID(),
    trustProxy: trustedProxies(env.TRUST_PROXY),
    bodyLimit: env.BODY_LIMIT_BYTES,
    // While closing, requests on kept connections go through our own routes, which say DRAINING in our own form.
    return503OnClosing: false,
    // The whole request must be here by then, a dripping body included.
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Silence in either direction, such as a client that does not read its answer. Above the longest honest silence:
    // 4 s between the last byte and our answer.
    connectionTimeout: 15_000,
    // Longer than the idle time of the usual load balancers (60 s), or they reuse a connection that we just closed.
    keepAliveTimeout: 75_000,
    // No maxRequestsPerSocket: the provider's connections are few and long, cutting them gains nothing.
    http: {
      // Node.js looks for late requests every 30 s by default: the limit of 10 s would be one of 40.
      connectionsCheckingInterval: 1000,
      headersTimeout: 5000,
      // Node.js' default, on purpose: a rotation's signature is 200 bytes, proxies and OAuth tokens add a few KiB.
      maxHeaderSize: 16_384,
      IncomingMessage: BoundedRequest,
      // A missing Host is nothing to us, and Node.js would refuse it with an empty answer.
      requireHostHeader: false,
    },
    frameworkErrors: unroutableAnswerer(refusals),
    clientErrorHandler: (error, socket) => answerClientError(error, socket, refusals),
  } satisfies FastifyServerOptions & { http: object }
}

export type AppDeps = {
  readonly env: IngressEnv
  readonly logger: Logger
  /** Opened and closed by the caller. */
  readonly producer: Pick<Producer, 'enqueue' | 'probe' | 'counts' | 'durability'>
  readonly registry: Registry
  /** Whether requests get spans of OpenTelemetry, which the process has started. */
  readonly isTraced?: boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Builds the whole public application; listens to nothing and does no I/O until it is ready.
 * Once ready it carries `readiness`, `heldDeliveries` and `drain()`.
 */
export function buildApp({ env, logger, producer, registry, isTraced = false, now }: AppDeps): FastifyInstance {
  const readiness = new Readiness({ checks: { redis: async () => producer.probe() } })
  const metrics = createMetrics(registry, readiness)
  const backlog = new Backlog(producer, env.MAX_BACKLOG)
  const clockSkew = new ClockSkew({ ages: metrics.signatureAges, skew: metrics.clockSkew, logger })
  const loopLateness = new LoopLateness()
  const patience = new Patience(loopLateness)

  const refusals = new Refusals({ metrics, logger })

  const app = fastify(serverOptions(env, logger, refusals))
  app.addHook('onClose', async () => loopLateness.close())
  if (isTraced) app.register(requestSpans())
  app.register(connectionLimits)
  app.register(memoryRelease)
  app.register(errorAnswers, { refusals })
  app.register(draining, { readiness, drainTimeoutMs: env.DRAIN_TIMEOUT_MS })
  app.register(startWarnings, { env, logger, producer })
  app.register(healthRoutes)
  app.register(async (scope) => {
    scope.register(deliveryReports, { metrics })
    scope.register(deliveryRoutes, { env, now, producer, backlog, metrics, clockSkew, patience })
  })
  return app
}

type StartWarningOptions = {
  readonly env: IngressEnv
  readonly logger: Logger
  readonly producer: Pick<Producer, 'durability'>
}

/** Why the source address may be forged, in the words of the log; null where it can't be. */
function forgeryWarning(trustProxy: IngressEnv['TRUST_PROXY']): string | null {
  if (trustProxy === true) {
    return 'TRUST_PROXY=true takes the leftmost forwarded address, which any client can write: give the addresses of the proxies'
  }
  if (typeof trustProxy === 'number' && trustProxy > 0) {
    return 'TRUST_PROXY counts hops: safe only where nothing but the proxies can reach this port'
  }
  const isEverything = Array.isArray(trustProxy) && trustProxy.some((entry) => entry.endsWith('/0'))
  return isEverything ? 'TRUST_PROXY holds a range of all addresses: any client can write the source address' : null
}

/** Secrets that are not in the form of the provider's, such as an API key or a secret in Base64: by name. */
function oddSecretLists(env: IngressEnv): readonly string[] {
  const names = ['PERSONA_WEBHOOK_SECRETS', 'PERSONA_SANDBOX_WEBHOOK_SECRETS'] as const
  return names.filter((name) => env[name].some((secret) => !secret.startsWith('wbhsec_')))
}

/** Says at start what works but may not be safe where this process runs. */
async function registerStartWarnings(app: FastifyInstance, options: StartWarningOptions): Promise<void> {
  const { env, logger, producer } = options
  const forgery = forgeryWarning(env.TRUST_PROXY)
  if (forgery !== null) logger.warn(forgery)
  const variables = oddSecretLists(env)
  if (variables.length > 0)
    logger.warn({ variables }, 'a secret does not begin with wbhsec_ as the secrets of Persona do')
  const stopWatching = watchDurability({ producer, logger })
  app.addHook('onClose', async () => stopWatching())
}

const startWarnings = fastifyPlugin(registerStartWarnings, { name: 'start-warnings', fastify: '5.x' })
