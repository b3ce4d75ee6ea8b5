import { FormatRegistry, Type, type Static } from '@sinclair/typebox'
import { changeFamilies, postgresUrl } from '@persona-ingest/database'
import { redisUrl } from '@persona-ingest/queue'
import { flag, loadEnv, logLevel, port, positiveInteger, word, type EnvSource } from '@persona-ingest/service'
import { endpointFaults, isLoopback } from './addresses.ts'

/** It stands in `.env.example`, so that anybody can sign with it. */
const EXAMPLE_SECRET = 'whsec_ZGV2ZWxvcG1lbnQtb25seS1ub3RpZmllci1rZXk='

const MIN_SECRET_BYTES = 16

/** `whsec_` and a key in base64. */
function isSigningSecret(text: string): boolean {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1] ?? ''
  const key = Buffer.from(encoded, 'base64')
  return key.length >= MIN_SECRET_BYTES && key.toString('base64') === encoded
}
FormatRegistry.Set('signing-secret', isSigningSecret)

function list(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function signingSecrets() {
  const expects = `secrets as whsec_ and base64 of ${MIN_SECRET_BYTES} bytes or more, comma-separated`
  return Type.Array(Type.String({ format: 'signing-secret' }), { minItems: 1, read: list, expects })
}

function families() {
  const expects = `families, comma-separated: ${changeFamilies.join(', ')}`
  const each = Type.Union(changeFamilies.map((family) => Type.Literal(family)))
  return Type.Array(each, { minItems: 1, default: ['inquiry'], read: list, expects })
}

function consumerName() {
  const expects = 'a name of 1 to 100 characters out of A-Z a-z 0-9 _ . -'
  return Type.String({ pattern: '^[A-Za-z0-9_.-]{1,100}$', default: 'notifier', expects })
}

function start() {
  return Type.Union([Type.Literal('now'), Type.Literal('start')], { default: 'now', expects: 'now or start' })
}

/** Every variable that the notifier reads. @see docs/contract.md#6-change-feed-what-a-users-application-reads */
export const envSchema = Type.Object({
  DATABASE_URL: postgresUrl(),
  REDIS_URL: Type.Optional(redisUrl()),
  NOTIFIER_REDIS_URL: Type.Optional(redisUrl()),
  NOTIFIER_URL: Type.String(),
  NOTIFIER_ALLOW_PRIVATE: flag(false),
  NOTIFIER_SECRET: signingSecrets(),
  NOTIFIER_CONSUMER: consumerName(),
  NOTIFIER_FROM: start(),
  NOTIFIER_FAMILIES: families(),
  NOTIFIER_CONCURRENCY: positiveInteger(10, 1_000),
  NOTIFIER_TIMEOUT_MS: positiveInteger(10_000, 600_000),
  METRICS_HOST: word('127.0.0.1'),
  METRICS_PORT: port(9467),
  DRAIN_TIMEOUT_MS: positiveInteger(20_000),
  LOG_LEVEL: logLevel(),
})

type Env = Readonly<Static<typeof envSchema>>
/** `REDIS_URL` is that of the notifier's own queue. */
export type NotifierEnv = Env & { readonly REDIS_URL: string }

function urlFaults({ NOTIFIER_URL: url, NOTIFIER_ALLOW_PRIVATE: isPrivateAllowed }: Partial<Env>): readonly string[] {
  if (url === undefined) return []
  return endpointFaults(url, isPrivateAllowed === true).map((fault) => `NOTIFIER_URL: ${fault}`)
}

function secretFaults({ NOTIFIER_SECRET: secrets = [], NOTIFIER_URL: url = '' }: Partial<Env>): readonly string[] {
  if (!secrets.includes(EXAMPLE_SECRET) || (URL.canParse(url) && isLoopback(new URL(url)))) return []
  return ['NOTIFIER_SECRET: the example secret signs for loopback only']
}

/** Reads the environment. Throws an `EnvironmentError` with every fault by name, without values. */
export function readEnv(source: EnvSource = process.env): NotifierEnv {
  const isSet = (name: string) => (source[name] ?? source[`${name}_FILE`] ?? '').trim() !== ''
  const env = loadEnv(envSchema, source, (valid) => [
    ...(isSet('REDIS_URL') || isSet('NOTIFIER_REDIS_URL') ? [] : ['REDIS_URL: missing']),
    ...urlFaults(valid),
    ...secretFaults(valid),
  ])
  return { ...env, REDIS_URL: env.NOTIFIER_REDIS_URL ?? env.REDIS_URL ?? '' }
}
