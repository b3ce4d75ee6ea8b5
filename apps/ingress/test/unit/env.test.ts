import t from 'tap'
import { EnvironmentError } from '@persona-ingest/service'
import { DEVELOPMENT_SECRET, readEnv } from '../../src/index.ts'

const ONE = 'wbhsec_00000000-one'
const TWO = 'wbhsec_00000000-two'
const valid = { REDIS_URL: 'redis://localhost', PERSONA_WEBHOOK_SECRETS: ONE }

function faultsOf(source: Record<string, string>): readonly string[] {
  try {
    readEnv(source)
  } catch (error) {
    if (error instanceof EnvironmentError) return error.faults
    throw error
  }
  return []
}

// @see docs/contract.md#3-environment-and-processes
t.test('the defaults are the documented ones', async (t) => {
  t.same(readEnv(valid), {
    REDIS_URL: 'redis://localhost',
    QUEUE_ENCRYPTION_KEYS: [],
    PERSONA_WEBHOOK_SECRETS: [ONE],
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
    METRICS_HOST: '127.0.0.1',
    METRICS_PORT: 9464,
    DRAIN_TIMEOUT_MS: 20_000,
    LOG_LEVEL: 'info',
  })
})

t.test('all faults of REDIS_URL are told at once, beside those of other variables, without its text', async (t) => {
  const faults = faultsOf({ ...valid, REDIS_URL: 'redis://marked:100%@cache/zero?keyPrefix=marked', PORT: 'http' })
  t.match(faults, [
    /^REDIS_URL: expected every % in user name and password/,
    /^REDIS_URL: expected nothing but the number of a database/,
    /^REDIS_URL: expected no parameters but family/,
    /^PORT: /,
  ])
  t.notMatch(faults.join(), /marked|zero|keyPrefix/)
})

t.test('at least one list of secrets is required, either will do', async (t) => {
  t.same(faultsOf({ REDIS_URL: 'redis://x' }), [
    'PERSONA_WEBHOOK_SECRETS: missing, at least one of it and PERSONA_SANDBOX_WEBHOOK_SECRETS is required',
  ])
  t.same(faultsOf({ REDIS_URL: 'redis://x', PERSONA_SANDBOX_WEBHOOK_SECRETS: TWO }), [])
})

t.test('a secret in both lists is a fault', async (t) => {
  t.same(faultsOf({ ...valid, PERSONA_SANDBOX_WEBHOOK_SECRETS: `${TWO}, ${ONE}` }), [
    'PERSONA_SANDBOX_WEBHOOK_SECRETS: holds a secret that PERSONA_WEBHOOK_SECRETS holds too',
  ])
})

t.test('a development secret is refused unless NODE_ENV is development or test', async (t) => {
  const secrets = { PERSONA_WEBHOOK_SECRETS: `${ONE},${DEVELOPMENT_SECRET}`, REDIS_URL: 'redis://x' }
  for (const NODE_ENV of ['development', 'test', ' test ']) t.same(faultsOf({ ...secrets, NODE_ENV }), [], NODE_ENV)
  const sandbox = { PERSONA_SANDBOX_WEBHOOK_SECRETS: `${DEVELOPMENT_SECRET}_2` }
  for (const source of [{}, ...['', 'production', 'staging', 'Development'].map((NODE_ENV) => ({ NODE_ENV }))])
    t.same(
      faultsOf({ ...secrets, ...sandbox, ...source }),
      ['PERSONA_WEBHOOK_SECRETS', 'PERSONA_SANDBOX_WEBHOOK_SECRETS'].map(
        (name) => `${name}: holds the development secret, which needs NODE_ENV to be development or test`,
      ),
      JSON.stringify(source),
    )
})

t.test('a secret in a form that would verify nothing is refused by name, without the value', async (t) => {
  const wrong = {
    'double quotes': `"${ONE}"`,
    'single quotes': `'${ONE}'`,
    'typographic quotes': `“${ONE}”`,
    backquotes: `\`${ONE}\``,
    'a quoted item beside a good one': `${TWO},"${ONE}"`,
    'quotes around the list': `"${TWO},${ONE}"`,
    'a blank inside': 'wbhsec_0000 0000-one',
    'a no-break space inside': 'wbhsec_0000\u00a00000-one',
    'a tab inside': 'wbhsec_0000\t0000-one',
    'a line break between two': `${ONE}\n${TWO}`,
    'a carriage return between two': `${ONE}\r${TWO}`,
    'the line of a configuration file': `PERSONA_WEBHOOK_SECRETS: ${ONE}`,
    JSON: `["${ONE}"]`,
    'a zero-width space': `wbhsec_\u200b00000000-one`,
    'a byte that is no UTF-8': `wbhsec_\ufffd00000000-one`,
    'half of a surrogate pair': `wbhsec_\ud80000000000-one`,
    'a zero byte': `wbhsec_\u000000000000-one`,
    '15 characters': ONE.slice(0, 15),
    '15 characters of two units each': '𝒳'.repeat(15),
  }
  for (const [name, text] of Object.entries(wrong))
    for (const variable of ['PERSONA_WEBHOOK_SECRETS', 'PERSONA_SANDBOX_WEBHOOK_SECRETS']) {
      const faults = faultsOf({ REDIS_URL: 'redis://x', [variable]: text })
      t.match(faults[0], `${variable}: expected secrets of 16 characters or more`, name)
      t.notMatch(faults.join(), /0000|𝒳/u)
    }
})

t.test('a secret of 16 characters is taken, blanks around items and empty items are not part of it', async (t) => {
  const secrets = ['wbhsec_16-charact', 'x'.repeat(16), 'ü'.repeat(16), '𝒳'.repeat(16), 'a+/=$\\{}()#%&@!;:|~^<>?']
  const text = secrets.map((secret) => ` \t${secret} \n`).join(',,')
  t.same(readEnv({ ...valid, PERSONA_WEBHOOK_SECRETS: text }).PERSONA_WEBHOOK_SECRETS, secrets)
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
