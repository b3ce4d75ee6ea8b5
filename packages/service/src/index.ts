export { describeError, type ErrorDescription, type OwnErrors } from './describe-error.ts'
export { drainOnSignals, type DrainOptions, exitOnInvalidEnv, exitOnUncaught } from './graceful-shutdown.ts'
export {
  addressList,
  encryptionKeys,
  integerOrOff,
  keyFaults,
  logLevel,
  port,
  positiveInteger,
  secretList,
  stringList,
  trustProxy,
  flag,
  word,
} from './env-fields.ts'
export { type EnvCheck, EnvironmentError, type EnvSource, loadEnv } from './load-env.ts'

export { createLogger, type Logger, RepeatedLine } from './logger.ts'
export {
  createRegistry,
  type OperationsServer,
  type OperationsServerOptions,
  readinessAnswer,
  startOperationsServer,
} from './operations-server.ts'
export { Readiness, type ReadinessOptions } from './readiness.ts'
export { currentTraceParent, inSpan, isTracingWanted, startTracing, type SpanOptions, type Tracing } from './tracing.ts'

export { Counter, Gauge, Histogram, type Registry } from 'prom-client'
