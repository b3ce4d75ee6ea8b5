import { postgresUrl } from '@persona-ingest/database'
import { redisUrl } from '@persona-ingest/queue'
import {
  encryptionKeys,
  keyFaults,
  loadEnv,
  logLevel,
  positiveInteger,
  secretList,
  type EnvSource,
} from '@persona-ingest/service'
import { Type, type Static, type TObject } from '@sinclair/typebox'

/** Every variable that a command may read. @see docs/contract.md#3-environment-and-processes for what each means */
export const envSchema = Type.Object({
  DATABASE_URL: postgresUrl(),
  STORAGE_ENCRYPTION_KEYS: encryptionKeys(),
  REDIS_URL: redisUrl(),
  QUEUE_ENCRYPTION_KEYS: encryptionKeys(),
  PERSONA_WEBHOOK_SECRETS: secretList(),
  CHANGES_KEEP_DAYS: positiveInteger(30, 36_500),
  LOG_LEVEL: logLevel(),
})

export type OpsEnv = Readonly<Static<typeof envSchema>>
export type OpsVariable = keyof OpsEnv

const KEYS = ['STORAGE_ENCRYPTION_KEYS', 'QUEUE_ENCRYPTION_KEYS'] as const

/**
 * Reads the variables that a command needs, and `LOG_LEVEL`; the others may be missing or wrong.
 * Throws an `EnvironmentError` with every fault by name, without values.
 */
export function readEnv<Name extends OpsVariable>(
  names: readonly Name[],
  source: EnvSource = process.env,
): Pick<OpsEnv, Name | 'LOG_LEVEL'> {
  const schema: TObject = Type.Pick(envSchema, [...names, 'LOG_LEVEL'])
  const faults = (valid: Partial<OpsEnv>) => KEYS.flatMap((name) => keyFaults(name, valid[name]))
  return loadEnv(schema, source, faults) as Pick<OpsEnv, Name | 'LOG_LEVEL'>
}

/** Whether the user wants no colours: https://no-color.org. */
export function isColorUnwanted(source: EnvSource = process.env): boolean {
  return (source['NO_COLOR'] ?? '') !== ''
}
