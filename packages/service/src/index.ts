export { describeError, type ErrorDescription, type OwnErrors } from './describe-error.ts'
export { drainOnSignals, type DrainOptions } from './drain-on-signals.ts'
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
export { EnvironmentError } from './environment-error.ts'
export type { EnvSource } from './env-source.ts'
export { exitOnInvalidEnv, exitOnUncaught } from './exit-on-failure.ts'
export { loadEnv, type EnvCheck } from './load-env.ts'
export { createLogger, type Logger } from './logger.ts'
export {
  readinessAnswer,
  startOperationsServer,
  type OperationsServer,
  type OperationsServerOptions,
} from './operations-server.ts'
export { Readiness, type ReadinessOptions } from './readiness.ts'
export { currentTraceParent, inSpan, isTracingWanted, startTracing, type SpanOptions, type Tracing } from './tracing.ts'
export { RepeatedLine } from './repeated-line.ts'
export { Counter, createRegistry, Gauge, Histogram, type Registry } from './registry.ts'
