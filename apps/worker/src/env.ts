import { Type, type Static } from '@sinclair/typebox'
import { postgresUrl } from '@persona-ingest/database'
import { redisUrl } from '@persona-ingest/queue'
import {
  encryptionKeys,
  integerOrOff,
  isTracingWanted,
  keyFaults,
  loadEnv,
  logLevel,
  port,
  positiveInteger,
  word,
  type EnvSource,
} from '@persona-ingest/service'

/** A hundred years; far larger values give dates that JavaScript can't represent. */
const MAX_DAYS = 36_500

/** Every variable that the worker reads. @see docs/contract.md#3-environment-and-processes for what each means */
export const envSchema = Type.Object({
  REDIS_URL: redisUrl(),
  QUEUE_ENCRYPTION_KEYS: encryptionKeys(),
  DATABASE_URL: postgresUrl(),
  STORAGE_ENCRYPTION_KEYS: encryptionKeys(),
  // Measured with a backlog: 200 in flight make batches of 70 (700-800 events/s), 600 make batches of 180 (1,100-1,400/s).
  WORKER_CONCURRENCY: positiveInteger(600, 10_000),
  MAX_ATTEMPTS: positiveInteger(10, 1_000_000),
  PRUNE_EVENTS_AFTER_DAYS: integerOrOff(MAX_DAYS),
  PRUNE_DEAD_LETTERS_AFTER_DAYS: integerOrOff(MAX_DAYS),
  CHANGES_KEEP_DAYS: positiveInteger(30, MAX_DAYS),
  METRICS_HOST: word('127.0.0.1'),
  METRICS_PORT: port(9465),
  DRAIN_TIMEOUT_MS: positiveInteger(20_000),
  LOG_LEVEL: logLevel(),
})

export type WorkerEnv = Readonly<Static<typeof envSchema>>

/** Reads the environment. Throws an `EnvironmentError` with every fault by name, without values. */
export function readEnv(source: EnvSource = process.env): WorkerEnv {
  return loadEnv(envSchema, source, (valid) => [
    ...keyFaults('QUEUE_ENCRYPTION_KEYS', valid.QUEUE_ENCRYPTION_KEYS),
    ...keyFaults('STORAGE_ENCRYPTION_KEYS', valid.STORAGE_ENCRYPTION_KEYS),
  ])
}

/** Whether the standard variables of OpenTelemetry ask for traces. */
export function wantsTraces(source: EnvSource = process.env): boolean {
  return isTracingWanted(source)
}
