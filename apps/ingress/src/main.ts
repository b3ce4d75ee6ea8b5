import { QueueUnavailableError } from '@persona-ingest/queue'
import {
  createLogger,
  createRegistry,
  shutDownOnSignals,
  exitOnInvalidEnv,
  exitOnUncaught,
  startOperationsServer,
  startTracing,
} from '@persona-ingest/service'
import { buildApp, LISTEN_BACKLOG } from './app.ts'
import { readEnv, wantsTraces } from './env.ts'
import { openProducer } from './deliveries/enqueue.ts'

const env = exitOnInvalidEnv(() => readEnv())
const { HOST: host, PORT: port, METRICS_HOST, METRICS_PORT, DRAIN_TIMEOUT_MS: timeoutMs } = env
const logger = createLogger({ app: 'ingress', level: env.LOG_LEVEL, ownErrors: [QueueUnavailableError] })
exitOnUncaught(logger)

const registry = createRegistry()
const tracing = await startTracing({ app: 'ingress', isWanted: wantsTraces(), logger })
const { isOn: isTraced } = tracing
const producer = openProducer({ ...env, isTraced }, logger, () => process.exit(1))
const app = buildApp({ env, logger, producer, registry, isTraced, now: Date.now })
await app.ready()
const { readiness, heldDeliveries } = app
const operations = await startOperationsServer({ host: METRICS_HOST, port: METRICS_PORT, registry, readiness })

const drain = async () => {
  await app.drain()
  await producer.close()
  await operations.close()
  await tracing.stop()
}
shutDownOnSignals({ shutDown: drain, timeoutMs, logger, inFlight: () => ({ heldDeliveries: heldDeliveries.count }) })

const address = await app.listen({ host, port, backlog: LISTEN_BACKLOG })
logger.info({ address, metricsPort: operations.port }, 'ingress ready')
