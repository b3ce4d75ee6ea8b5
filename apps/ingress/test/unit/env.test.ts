import t from 'tap'
import { EnvironmentError } from '@persona-ingest/runtime'
import { DEVELOPMENT_SECRET, readEnv } from '../../src/index.ts'

const valid = { REDIS_URL: 'redis://localhost', PERSONA_WEBHOOK_SECRETS: 'wbhsec_one' }

function faultsOf(source: Record<string, string>): readonly string[] {
  try {
    readEnv(source)
  } catch (error) {
    if (error instanceof EnvironmentError) return error.faults
    throw error
  }
  return []
}

t.test('the defaults are those of the contract', async (t) => {
  t.same(readEnv(valid), {
    REDIS_URL: 'redis://localhost',
    QUEUE_ENCRYPTION_KEYS: [],
    PERSONA_WEBHOOK_SECRETS: ['wbhsec_one'],
    PERSONA_SANDBOX_WEBHOOK_SECRETS: [],
    SIGNATURE_TOLERANCE_SECONDS: 518_400,
    IP_ALLOWLIST: [],
    TRUST_PROXY: false,
    BODY_LIMIT_BYTES: 2_097_152,
    ATTRIBUTE_BLOCKLIST: [],
    DROP_FILE_TOKENS: false,
    MAX_BACKLOG: 0,
    HOST: '0.0.0.0',
    PORT: 8080,
    METRICS_PORT: 9464,
    DRAIN_TIMEOUT_MS: 20_000,
    LOG_LEVEL: 'info',
    NODE_ENV: 'development',
  })
})

t.test('at least one list of secrets is required, either will do', async (t) => {
  t.same(faultsOf({ REDIS_URL: 'redis://x' }), [
    'PERSONA_WEBHOOK_SECRETS: missing, at least one of it and PERSONA_SANDBOX_WEBHOOK_SECRETS is required',
  ])
  t.same(faultsOf({ REDIS_URL: 'redis://x', PERSONA_SANDBOX_WEBHOOK_SECRETS: 'wbhsec_s' }), [])
})

t.test('a secret in both lists is a fault', async (t) => {
  t.same(faultsOf({ ...valid, PERSONA_SANDBOX_WEBHOOK_SECRETS: 'wbhsec_two, wbhsec_one' }), [
    'PERSONA_SANDBOX_WEBHOOK_SECRETS: holds a secret that PERSONA_WEBHOOK_SECRETS holds too',
  ])
})

t.test('a development secret is refused in production only', async (t) => {
  const secrets = { PERSONA_WEBHOOK_SECRETS: `wbhsec_one,${DEVELOPMENT_SECRET}`, REDIS_URL: 'redis://x' }
  t.same(faultsOf(secrets), [])
  t.same(faultsOf({ ...secrets, PERSONA_SANDBOX_WEBHOOK_SECRETS: `${DEVELOPMENT_SECRET}_2`, NODE_ENV: 'production' }), [
    'PERSONA_WEBHOOK_SECRETS: development secret in production',
    'PERSONA_SANDBOX_WEBHOOK_SECRETS: development secret in production',
  ])
})

t.test('both ports may not be the same, unless the system chooses them', async (t) => {
  t.same(faultsOf({ ...valid, PORT: '9464' }), ['METRICS_PORT: expected another port than PORT'])
  t.same(faultsOf({ ...valid, PORT: '0', METRICS_PORT: '0' }), [])
})

t.test('faults of single variables and of their combination come at once', async (t) => {
  t.same(
    faultsOf({ PORT: 'marked-value' }).map((fault) => fault.split(':')[0]),
    ['REDIS_URL', 'PORT', 'PERSONA_WEBHOOK_SECRETS'],
  )
})

t.test('a blocklist is in the syntax of the provider, and is not repeated in a fault', async (t) => {
  const patterns = 'name-*, !name-suffix, /data/attributes/fields/*?type=inquiry'
  t.same(readEnv({ ...valid, ATTRIBUTE_BLOCKLIST: patterns, DROP_FILE_TOKENS: 'true' }), {
    ...readEnv(valid),
    ATTRIBUTE_BLOCKLIST: ['name-*', '!name-suffix', '/data/attributes/fields/*?type=inquiry'],
    DROP_FILE_TOKENS: true,
  })
  t.match(faultsOf({ ...valid, ATTRIBUTE_BLOCKLIST: 'name-*,fields.name', DROP_FILE_TOKENS: 'yes' }), [
    /^DROP_FILE_TOKENS: expected true or false/,
  ])
  t.match(faultsOf({ ...valid, ATTRIBUTE_BLOCKLIST: 'name-*,fields.name' }), [
    /^ATTRIBUTE_BLOCKLIST: expected keys such as name-\*, or paths such as/,
  ])
})
