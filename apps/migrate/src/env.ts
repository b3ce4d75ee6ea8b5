import { Type, type Static } from '@sinclair/typebox'
import { postgresUrl } from '@persona-ingest/database'
import { loadEnv, logLevel, type EnvSource } from '@persona-ingest/service'

/** Every variable that the migration command reads. */
export const envSchema = Type.Object({ DATABASE_URL: postgresUrl(), LOG_LEVEL: logLevel() })

export type MigrateEnv = Readonly<Static<typeof envSchema>>

/** Reads the environment. Throws an `EnvironmentError` with every fault by name, without values. */
export function readEnv(source: EnvSource = process.env): MigrateEnv {
  return loadEnv(envSchema, source)
}
