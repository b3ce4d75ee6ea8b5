export { AddressSet } from './addresses.ts'
export { describeError, type ErrorDescription, type OwnErrors } from './describe-error.ts'
export {
  addressList,
  encryptionKeys,
  flag,
  integerOrOff,
  keyFaults,
  logLevel,
  port,
  positiveInteger,
  secretList,
  stringList,
  trustProxy,
  word,
} from './env-fields.ts'
export { exitOnUncaught, shutDownOnSignals, type GracefulShutdownOptions } from './graceful-shutdown.ts'
export { EnvironmentError, exitOnInvalidEnv, loadEnv, type EnvCheck, type EnvSource } from './load-env.ts'
export { createLogger, RepeatedLine, type Logger } from './logger.ts'
export {
  createRegistry,
  readinessAnswer,
  startOperationsServer,
  type OperationsServer,
  type OperationsServerOptions,
} from './operations-server.ts'
export { Readiness, type ReadinessOptions } from './readiness.ts'
export { currentTraceParent, inSpan, isTracingWanted, startTracing, type SpanOptions, type Tracing } from './tracing.ts'
export { Counter, Gauge, Histogram, type Registry } from 'prom-client'
