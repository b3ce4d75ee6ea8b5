import {
  createLogger,
  createRegistry,
  exitOnInvalidEnv,
  exitOnUncaught,
  shutDownOnSignals,
  startOperationsServer,
} from '@persona-ingest/service'
import { buildNotifier } from './app.ts'
import { readEnv } from './env.ts'

const env = exitOnInvalidEnv(() => readEnv())
const logger = createLogger({ app: 'notifier', level: env.LOG_LEVEL })
exitOnUncaught(logger)

const registry = createRegistry()
const notifier = buildNotifier({ env, logger, registry, end: () => process.exit(1) })
const { readiness } = notifier
const operations = await startOperationsServer({ host: env.METRICS_HOST, port: env.METRICS_PORT, registry, readiness })

shutDownOnSignals({
  shutDown: async () => {
    await notifier.close()
    await operations.close()
  },
  timeoutMs: env.DRAIN_TIMEOUT_MS,
  logger,
  inFlight: () => ({ notifications: notifier.inFlightCount() }),
})

notifier.start()
const { NOTIFIER_CONSUMER: consumer, NOTIFIER_FAMILIES: families, NOTIFIER_CONCURRENCY: concurrency } = env
logger.info({ metricsPort: operations.port, consumer, families, concurrency }, 'notifier started')
