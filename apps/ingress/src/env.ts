import { Type, type Static } from '@sinclair/typebox'
import { isBlocklistPattern } from '@persona-ingest/persona'
import { redisUrl } from '@persona-ingest/queue'
import {
  addressList,
  encryptionKeys,
  flag,
  integerOrOff,
  isTracingWanted,
  keyFaults,
  loadEnv,
  logLevel,
  port,
  positiveInteger,
  secretList,
  stringList,
  trustProxy,
  word,
  type EnvSource,
} from '@persona-ingest/service'

/** Every variable that the ingress reads. @see docs/contract.md#3-environment-and-processes for what each means */
export const envSchema = Type.Object({
  REDIS_URL: redisUrl(),
  QUEUE_ENCRYPTION_KEYS: encryptionKeys(),
  PERSONA_WEBHOOK_SECRETS: secretList(),
  PERSONA_SANDBOX_WEBHOOK_SECRETS: secretList(),
  SIGNATURE_TOLERANCE_SECONDS: positiveInteger(518_400),
  IP_ALLOWLIST: addressList(),
  TRUST_PROXY: trustProxy(),
  BODY_LIMIT_BYTES: positiveInteger(2_097_152),
  ATTRIBUTE_BLOCKLIST: stringList(),
  DROP_FILE_TOKENS: flag(false),
  MAX_BACKLOG: integerOrOff(),
  HOST: word('0.0.0.0'),
  PORT: port(8080),
  METRICS_HOST: word('127.0.0.1'),
  METRICS_PORT: port(9464),
  DRAIN_TIMEOUT_MS: positiveInteger(20_000),
  LOG_LEVEL: logLevel(),
  NODE_ENV: Type.Optional(word()),
})

export type IngressEnv = Readonly<Static<typeof envSchema>>

/** The beginning of all development secrets. They are public: none may protect real data. */
export const DEVELOPMENT_SECRET = 'wbhsec_development_only'

const DEVELOPMENT_ENVIRONMENTS = ['development', 'test']

const SECRET_LISTS = ['PERSONA_WEBHOOK_SECRETS', 'PERSONA_SANDBOX_WEBHOOK_SECRETS'] as const

function secretFaults(env: Partial<IngressEnv>): string[] {
  const [production, sandbox] = SECRET_LISTS.map((name) => env[name])
  if (production === undefined || sandbox === undefined) return []
  const mayBePublic = DEVELOPMENT_ENVIRONMENTS.includes(env.NODE_ENV ?? '')
  const faults = SECRET_LISTS.filter(
    (name) => !mayBePublic && env[name]?.some((secret) => secret.startsWith(DEVELOPMENT_SECRET)),
  ).map((name) => `${name}: holds the development secret, which needs NODE_ENV to be development or test`)
  if (production.length + sandbox.length === 0) {
    faults.push(`${SECRET_LISTS[0]}: missing, at least one of it and ${SECRET_LISTS[1]} is required`)
  }
  // The list with the matching secret determines the environment of an event.
  if (production.some((secret) => sandbox.includes(secret))) {
    faults.push(`${SECRET_LISTS[1]}: holds a secret that ${SECRET_LISTS[0]} holds too`)
  }
  return faults
}

function portFaults(env: Partial<IngressEnv>): string[] {
  return env.PORT !== 0 && env.PORT !== undefined && env.PORT === env.METRICS_PORT
    ? ['METRICS_PORT: expected another port than PORT']
    : []
}

function blocklistFaults({ ATTRIBUTE_BLOCKLIST: patterns = [] }: Partial<IngressEnv>): string[] {
  return patterns.every(isBlocklistPattern)
    ? []
    : [
        'ATTRIBUTE_BLOCKLIST: expected keys such as name-*, or paths such as /data/attributes/fields/name-*?type=inquiry',
      ]
}

/** Reads the environment. Throws an `EnvironmentError` with every fault by name, without values. */
export function readEnv(source: EnvSource = process.env): IngressEnv {
  return loadEnv(envSchema, source, (valid) => [
    ...secretFaults(valid),
    ...portFaults(valid),
    ...blocklistFaults(valid),
    ...keyFaults('QUEUE_ENCRYPTION_KEYS', valid.QUEUE_ENCRYPTION_KEYS),
  ])
}

/** Whether the standard variables of OpenTelemetry ask for traces. */
export function wantsTraces(source: EnvSource = process.env): boolean {
  return isTracingWanted(source)
}

/** A log line about a setting that works but may be unsafe. */
type EnvWarning = { readonly message: string; readonly variables?: readonly string[] }

/** Why a client could forge its source address; null where it cannot. */
function forgeryWarning(trustProxy: IngressEnv['TRUST_PROXY']): string | null {
  if (trustProxy === true) {
    return 'TRUST_PROXY=true takes the leftmost forwarded address, which any client can write: give the addresses of the proxies'
  }
  if (typeof trustProxy === 'number' && trustProxy > 0) {
    return 'TRUST_PROXY counts hops: safe only where nothing but the proxies can reach this port'
  }
  const isEverything = Array.isArray(trustProxy) && trustProxy.some((entry) => entry.endsWith('/0'))
  return isEverything ? 'TRUST_PROXY holds a range of all addresses: any client can write the source address' : null
}

/** Finds settings that are valid but may be unsafe, for log lines at the start. */
export function warningsOf(env: IngressEnv): readonly EnvWarning[] {
  const forgery = forgeryWarning(env.TRUST_PROXY)
  // An API key, or a secret in Base64, has another form than the secrets of the provider.
  const variables = SECRET_LISTS.filter((name) => env[name].some((secret) => !secret.startsWith('wbhsec_')))
  return [
    ...(forgery === null ? [] : [{ message: forgery }]),
    ...(variables.length === 0
      ? []
      : [{ message: 'a secret does not begin with wbhsec_ as the secrets of Persona do', variables }]),
  ]
}
