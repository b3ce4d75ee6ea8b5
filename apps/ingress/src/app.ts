import { fastify, type FastifyInstance } from 'fastify'
import type { Producer } from '@persona-ingest/queue'
import { Readiness, type Logger, type Registry } from '@persona-ingest/service'
import { Backlog } from './delivery/backlog.ts'
import { ClockSkew } from './delivery/clock-skew.ts'
import { LoopLateness } from './delivery/loop-lateness.ts'
import { Patience } from './delivery/patience.ts'
import type { IngressEnv } from './env.ts'
import { createMetrics } from './metrics.ts'
import connectionLimits from './plugins/connection-limits.ts'
import deliveryReports from './plugins/delivery-reports.ts'
import draining from './plugins/draining.ts'
import errorAnswers from './plugins/error-answers.ts'
import memoryRelease from './plugins/memory-release.ts'
import { requestSpans } from './plugins/request-spans.ts'
import startWarnings from './plugins/start-warnings.ts'
import { Refusals } from './refusals.ts'
import { deliveryRoutes } from './routes/deliveries.ts'
import { healthRoutes } from './routes/health.ts'
import { serverOptions } from './server-options.ts'

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
