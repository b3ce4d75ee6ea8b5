import { postgresUrl } from '@persona-ingest/database'
import { redisUrl } from '@persona-ingest/queue'
import {
  encryptionKeys,
  loadEnv,
  port,
  positiveInteger,
  secretList,
  word,
  type EnvSource,
} from '@persona-ingest/service'
import { Type, type Static } from '@sinclair/typebox'

/** What `dev` itself reads; everything else that is set reaches the apps as it is. */
export const envSchema = Type.Object({
  DATABASE_URL: Type.Optional(postgresUrl()),
  REDIS_URL: Type.Optional(redisUrl()),
  // The demonstration reads what the worker stored, which may be encrypted.
  STORAGE_ENCRYPTION_KEYS: encryptionKeys(),
  PERSONA_WEBHOOK_SECRETS: secretList(),
  PERSONA_SANDBOX_WEBHOOK_SECRETS: secretList(),
  // The development secret is public: only this machine may connect.
  HOST: word('127.0.0.1'),
  PORT: port(8080),
  METRICS_HOST: word('127.0.0.1'),
  METRICS_PORT: port(9464),
  DRAIN_TIMEOUT_MS: positiveInteger(20_000),
  /** The folder of the servers' data, from the root of the repository. */
  DEV_FOLDER: Type.String({ default: '.dev', expects: 'a path' }),
})

export type DevEnv = Readonly<Static<typeof envSchema>>

/** Reads the environment. Throws an `EnvironmentError` with every fault by name, without values. */
export function readEnv(source: EnvSource = process.env): DevEnv {
  return loadEnv(envSchema, source)
}

/** The environment of an app: this process's own with some variables replaced, also those given as a file. */
export function appEnv(replaced: Readonly<Record<string, string>>, source: EnvSource = process.env): EnvSource {
  const files = Object.keys(replaced).map((name) => [`${name}_FILE`, undefined] as const)
  const isUnset = ['NODE_ENV', 'NODE_ENV_FILE'].every((name) => (source[name] ?? '').trim() === '')
  return { ...source, ...(isUnset && { NODE_ENV: 'development' }), ...Object.fromEntries(files), ...replaced }
}
