import { constants, setPriority } from 'node:os'
import {
  createLogger,
  createRegistry,
  shutDownOnSignals,
  exitOnInvalidEnv,
  exitOnUncaught,
  startOperationsServer,
  startTracing,
} from '@persona-ingest/service'
import { buildWorker } from './app.ts'
import { readEnv, wantsTraces } from './env.ts'

const env = exitOnInvalidEnv(() => readEnv())
const logger = createLogger({ app: 'worker', level: env.LOG_LEVEL })
exitOnUncaught(logger)

// On a shared machine the ingress has priority: the provider waits for its answer, the queue does not.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL)

const registry = createRegistry()
const tracing = await startTracing({ app: 'worker', isWanted: wantsTraces(), logger })
const worker = buildWorker({ env, logger, registry, isTraced: tracing.isOn, end: () => process.exit(1) })
const { readiness } = worker
const operations = await startOperationsServer({ host: env.METRICS_HOST, port: env.METRICS_PORT, registry, readiness })

shutDownOnSignals({
  shutDown: async () => {
    await worker.close()
    await operations.close()
    await tracing.stop()
  },
  timeoutMs: env.DRAIN_TIMEOUT_MS,
  logger,
  inFlight: () => ({ heldDeliveries: worker.inFlightCount() }),
})

worker.start()
logger.info({ metricsPort: operations.port, concurrency: env.WORKER_CONCURRENCY }, 'worker started')
