import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import {
  addressList,
  EnvironmentError,
  integerOrOff,
  loadEnv,
  logLevel,
  port,
  positiveInteger,
  stringList,
  trustProxy,
  word,
  type EnvSource,
} from '../../src/index.ts'

/** A field that finds its faults itself. */
const redisUrl = (text: string) => (text.startsWith('redis://') ? [] : ['expected a URL', 'expected another host'])

const schema = Type.Object({
  REDIS_URL: Type.String({ faults: redisUrl }),
  DATABASE_URL: Type.String({ pattern: '^postgresql://', expects: 'a URL that begins with postgresql://' }),
  PORT: port(8080),
  DRAIN_TIMEOUT_MS: positiveInteger(20_000),
  MAX_BACKLOG: integerOrOff(),
  HOST: word('0.0.0.0'),
  SECRETS: stringList(),
  IP_ALLOWLIST: addressList(),
  TRUST_PROXY: trustProxy(),
  LOG_LEVEL: logLevel(),
  NODE_ENV: Type.Optional(word('')),
})
const valid = { REDIS_URL: 'redis://localhost:6379', DATABASE_URL: 'postgresql://localhost/events' }

function faultsOf(source: EnvSource): readonly string[] {
  try {
    loadEnv(schema, source)
  } catch (error) {
    if (error instanceof EnvironmentError) return error.faults
    throw error
  }
  return []
}

function fileWith(t: Test, content: string | Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'load-env-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'variable')
  writeFileSync(path, content)
  return path
}

t.test('defaults stand where a variable is unset, empty or blank', async (t) => {
  const env = loadEnv(schema, { ...valid, PORT: '', LOG_LEVEL: '  ', SECRETS: ' , ,' })
  t.equal(env.PORT, 8080)
  t.equal(env.LOG_LEVEL, 'info')
  t.equal(env.HOST, '0.0.0.0')
  t.equal(env.MAX_BACKLOG, 0)
  t.same(env.SECRETS, [])
  t.equal(env.TRUST_PROXY, false)
})

t.test('an optional variable without a value has no key', async (t) => {
  const optional = Type.Object({ NAME: Type.Optional(Type.String()) })
  t.notOk('NAME' in loadEnv(optional, {}))
  t.equal(loadEnv(optional, { NAME: 'x' }).NAME, 'x')
})

t.test('text becomes numbers, lists and proxies', async (t) => {
  const env = loadEnv(schema, { ...valid, PORT: ' 9000 ', SECRETS: ' a, b ,,c,', IP_ALLOWLIST: '10.0.0.0/8, ::1' })
  t.equal(env.PORT, 9000)
  t.same(env.SECRETS, ['a', 'b', 'c'])
  t.same(env.IP_ALLOWLIST, ['10.0.0.0/8', '::1'])
  t.equal(loadEnv(schema, { ...valid, TRUST_PROXY: 'true' }).TRUST_PROXY, true)
  t.equal(loadEnv(schema, { ...valid, TRUST_PROXY: 'false' }).TRUST_PROXY, false)
  t.equal(loadEnv(schema, { ...valid, TRUST_PROXY: '2' }).TRUST_PROXY, 2)
  t.same(loadEnv(schema, { ...valid, TRUST_PROXY: 'loopback, 10.1.0.0/16' }).TRUST_PROXY, ['loopback', '10.1.0.0/16'])
})

t.test('the result and its lists are frozen', async (t) => {
  const env = loadEnv(schema, { ...valid, SECRETS: 'a' })
  t.throws(() => Object.assign(env, { PORT: 1 }), TypeError)
  t.throws(() => env.SECRETS.push('b'), TypeError)
})

t.test('every fault is told at once, by name and without its value', async (t) => {
  const source = {
    DATABASE_URL: 'mysql://marked-value/x',
    PORT: '80marked-value',
    DRAIN_TIMEOUT_MS: '0',
    MAX_BACKLOG: '-1',
    IP_ALLOWLIST: '10.0.0.1,marked-value',
    TRUST_PROXY: 'marked-value',
    LOG_LEVEL: 'marked-value',
    HOST: 'marked value',
    SECRETS: 'marked-value',
    SECRETS_FILE: '/marked-value',
    NODE_ENV_FILE: '/marked-value',
  }
  const faults = faultsOf(source)
  t.same(faults.map((fault) => fault.split(':')[0]).toSorted(), [
    'DATABASE_URL',
    'DRAIN_TIMEOUT_MS',
    'HOST',
    'IP_ALLOWLIST',
    'LOG_LEVEL',
    'MAX_BACKLOG',
    'NODE_ENV_FILE',
    'PORT',
    'REDIS_URL',
    'SECRETS',
    'TRUST_PROXY',
  ])
  const error = new EnvironmentError(faults)
  for (const fault of faults) t.match(error.message, fault)
  t.notMatch(error.message, /marked.value/)
})

t.test('numbers are taken in one spelling only', async (t) => {
  for (const text of ['1.5', '1e3', '0x10', '+5', '١', '65536', '-1']) {
    t.match(faultsOf({ ...valid, PORT: text })[0], /^PORT: expected a port/, text)
  }
  t.match(faultsOf({ ...valid, DRAIN_TIMEOUT_MS: '99999999999' })[0], /^DRAIN_TIMEOUT_MS/, 'no timer can hold it')
})

t.test('addresses and ranges out of bounds are refused', async (t) => {
  for (const text of ['10.0.0.0/33', '::/129', '10.0.0', '1.2.3.4/8/8', 'fe80::1%eth0', '1.2.3.4/', 'localhost']) {
    t.match(faultsOf({ ...valid, IP_ALLOWLIST: text })[0], /^IP_ALLOWLIST/, text)
  }
})

t.test('a file holds a variable; its last newline, only that, is dropped', async (t) => {
  for (const ending of ['', '\n', '\r\n']) {
    const path = fileWith(t, `redis://from-file:1${ending}`)
    t.equal(loadEnv(schema, { ...valid, REDIS_URL: '', REDIS_URL_FILE: path }).REDIS_URL, 'redis://from-file:1')
  }
  t.same(loadEnv(schema, { ...valid, SECRETS_FILE: fileWith(t, 'a,\nb\n') }).SECRETS, ['a', 'b'])
})

t.test('a file and its variable together are a fault, an empty partner is none', async (t) => {
  const path = fileWith(t, 'redis://from-file:1\n')
  t.same(faultsOf({ ...valid, REDIS_URL_FILE: path }), [
    'REDIS_URL: given together with REDIS_URL_FILE, only one may be set',
  ])
  t.same(faultsOf({ ...valid, REDIS_URL_FILE: '' }), [])
})

t.test('a file that is missing, a folder or empty is a fault', async (t) => {
  const { DATABASE_URL } = valid
  const gone = join(tmpdir(), 'load-env-that-is-not-there')
  t.same(faultsOf({ DATABASE_URL, REDIS_URL_FILE: gone }), ['REDIS_URL_FILE: file cannot be read (ENOENT)'])
  t.same(faultsOf({ DATABASE_URL, REDIS_URL_FILE: tmpdir() }), ['REDIS_URL_FILE: file cannot be read (EISDIR)'])
  t.same(faultsOf({ DATABASE_URL, REDIS_URL_FILE: fileWith(t, '\n') }), ['REDIS_URL: missing'])
})

t.test('a file in another encoding than UTF-8 is a fault by name, a byte order mark of UTF-8 is none', async (t) => {
  const { DATABASE_URL, REDIS_URL } = valid
  const text = `${REDIS_URL}\n`
  const utf16 = Buffer.from(text, 'utf16le')
  const wrong = {
    'UTF-16 with a byte order mark': Buffer.concat([Buffer.from([0xff, 0xfe]), utf16]),
    'UTF-16, big-endian': Buffer.concat([Buffer.from([0xfe, 0xff]), Buffer.from(utf16).swap16()]),
    'UTF-16 without a byte order mark': utf16,
    'Latin-1': Buffer.from('redis://:p\u00e4ss@localhost', 'latin1'),
  }
  for (const [name, bytes] of Object.entries(wrong))
    t.same(
      faultsOf({ DATABASE_URL, REDIS_URL_FILE: fileWith(t, bytes) }),
      ['REDIS_URL_FILE: file is not text in UTF-8'],
      name,
    )
  const marked = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)])
  t.equal(loadEnv(schema, { DATABASE_URL, REDIS_URL_FILE: fileWith(t, marked) }).REDIS_URL, REDIS_URL)
})

t.test('a check across fields sees the valid ones and adds its faults to the others', async (t) => {
  const seen: unknown[] = []
  const check = (env: object) => {
    seen.push(env)
    return ['SECRETS: none']
  }
  t.throws(() => loadEnv(schema, { REDIS_URL: 'redis://x', DATABASE_URL: 'no url' }, check), {
    code: 'ENVIRONMENT_INVALID',
    faults: ['DATABASE_URL: expected a URL that begins with postgresql://', 'SECRETS: none'],
  })
  t.match(seen, [{ REDIS_URL: 'redis://x', PORT: 8080 }])
  t.notOk('DATABASE_URL' in (seen[0] as object))
})
