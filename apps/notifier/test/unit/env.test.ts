import { EnvironmentError } from '@persona-ingest/service'
import t from 'tap'
import { readEnv } from '../../src/index.ts'
import { SECRET } from '../fixtures/a-receiver.ts'

const valid = {
  DATABASE_URL: 'postgresql://localhost/persona',
  REDIS_URL: 'redis://localhost:6379',
  NOTIFIER_URL: 'https://hooks.example/changes',
  NOTIFIER_SECRET: SECRET,
}

function faultsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    readEnv(env)
    return []
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    return error.faults
  }
}

t.test('what is not set has its default', async (t) => {
  t.match(readEnv(valid), {
    REDIS_URL: 'redis://localhost:6379',
    NOTIFIER_ALLOW_PRIVATE: false,
    NOTIFIER_SECRET: [SECRET],
    NOTIFIER_CONSUMER: 'notifier',
    NOTIFIER_FROM: 'now',
    NOTIFIER_FAMILIES: ['inquiry'],
    NOTIFIER_CONCURRENCY: 10,
    NOTIFIER_TIMEOUT_MS: 10_000,
    METRICS_PORT: 9467,
    DRAIN_TIMEOUT_MS: 20_000,
  })
})

t.test('a Redis of its own replaces REDIS_URL, which may then be missing', async (t) => {
  const { REDIS_URL, ...others } = valid
  const own = 'redis://other:6379/2'
  t.equal(readEnv({ ...valid, NOTIFIER_REDIS_URL: own }).REDIS_URL, own)
  t.equal(readEnv({ ...others, NOTIFIER_REDIS_URL: own }).REDIS_URL, own)
  t.strictSame(faultsOf(others), ['REDIS_URL: missing'])
  t.equal(REDIS_URL, valid.REDIS_URL)
})

t.test('every fault is told at once, by name and without its value', async (t) => {
  const faults = faultsOf({
    DATABASE_URL: 'mysql://secret',
    REDIS_URL: 'http://secret',
    NOTIFIER_URL: 'http://10.0.0.1/secret',
    NOTIFIER_SECRET: 'whsec_secret',
    NOTIFIER_CONSUMER: 'sec:ret',
    NOTIFIER_FROM: 'secret',
    NOTIFIER_FAMILIES: 'inquiry,secret',
    NOTIFIER_ALLOW_PRIVATE: 'secret',
    NOTIFIER_CONCURRENCY: '0',
    NOTIFIER_TIMEOUT_MS: 'secret',
    METRICS_PORT: '99999',
  })
  const names = new Set(faults.map((fault) => fault.split(':')[0]))
  for (const name of [
    'DATABASE_URL',
    'REDIS_URL',
    'NOTIFIER_URL',
    'NOTIFIER_SECRET',
    'NOTIFIER_CONSUMER',
    'NOTIFIER_FROM',
    'NOTIFIER_FAMILIES',
    'NOTIFIER_ALLOW_PRIVATE',
    'NOTIFIER_CONCURRENCY',
    'NOTIFIER_TIMEOUT_MS',
    'METRICS_PORT',
  ])
    // prettier-ignore
    t.ok(names.has(name), name)
  t.notMatch(faults.join(), /secret\b(?!s)|sec:ret|10\.0\.0\.1|99999/)
  t.strictSame(faultsOf({}).length >= 3, true)
})

t.test('secrets are whsec_ and base64; several are a list', async (t) => {
  const other = 'whsec_bmV3LW5ldy1uZXctbmV3LW5ldy0='
  t.strictSame(readEnv({ ...valid, NOTIFIER_SECRET: ` ${SECRET} , ${other},` }).NOTIFIER_SECRET, [SECRET, other])
  for (const secret of [
    ',',
    'bmV3LW5ldy1uZXctbmV3LW5ldy0=',
    'whsec_',
    'whsec_bmV3',
    'whsec_bmV3LW5ldy1uZXctbmV3LW5ldy0',
    `whsec_${'-'.repeat(32)}`,
    `${SECRET},x`,
  ])
    // prettier-ignore
    t.match(faultsOf({ ...valid, NOTIFIER_SECRET: secret }), [/^NOTIFIER_SECRET: /], secret)
})

t.test('the secret of the example signs for loopback only', async (t) => {
  const NOTIFIER_SECRET = 'whsec_ZGV2ZWxvcG1lbnQtb25seS1ub3RpZmllci1rZXk='
  t.match(faultsOf({ ...valid, NOTIFIER_SECRET }), [/loopback only/])
  t.strictSame(faultsOf({ ...valid, NOTIFIER_SECRET, NOTIFIER_URL: 'http://localhost:1' }), [])
})
