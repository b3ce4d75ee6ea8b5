import { QueueUnavailableError } from '@persona-ingest/queue'
import {
  createLogger,
  createRegistry,
  exitOnInvalidEnv,
  exitOnUncaught,
  shutDownOnSignals,
  startOperationsServer,
  startTracing,
} from '@persona-ingest/service'
import { buildApp, LISTEN_BACKLOG } from './app.ts'
import { openProducer } from './deliveries/enqueue.ts'
import { readEnv, wantsTraces } from './env.ts'

const env = exitOnInvalidEnv(() => readEnv())
const { HOST: host, PORT: port, REDIS_URL: redisUrl, QUEUE_ENCRYPTION_KEYS: encryptionKeys } = env
const logger = createLogger({ app: 'ingress', level: env.LOG_LEVEL, ownErrors: [QueueUnavailableError] })
exitOnUncaught(logger)

const registry = createRegistry()
const tracing = await startTracing({ app: 'ingress', isWanted: wantsTraces(), logger })
const { isOn: isTraced } = tracing
const producer = openProducer({ redisUrl, encryptionKeys, isTraced, logger, end: () => process.exit(1) })
const app = buildApp({ env, logger, producer, registry, isTraced, now: Date.now })
await app.ready()
const { readiness, inFlight } = app
const operations = await startOperationsServer({ host: env.METRICS_HOST, port: env.METRICS_PORT, registry, readiness })

const shutDown = async () => {
  await app.shutDown()
  await producer.close()
  await operations.close()
  await tracing.stop()
}
const timeoutMs = env.DRAIN_TIMEOUT_MS
shutDownOnSignals({ shutDown, timeoutMs, logger, inFlight: () => ({ heldDeliveries: inFlight.count }) })

const address = await app.listen({ host, port, backlog: LISTEN_BACKLOG })
logger.info({ address, metricsPort: operations.port }, 'ingress ready')
