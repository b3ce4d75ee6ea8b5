import { EnvironmentError } from '@persona-ingest/service'
import t from 'tap'
import { isColorUnwanted, readEnv } from '../../src/runner/env.ts'

t.test('a command reads only what it needs, and hears of every fault at once without values', async (t) => {
  t.strictSame({ ...readEnv([], { DATABASE_URL: 'wrong' }) }, { LOG_LEVEL: 'info' })
  const source = { DATABASE_URL: 'mysql://secret', LOG_LEVEL: 'loud' }
  try {
    readEnv(['DATABASE_URL', 'REDIS_URL'], source)
    t.fail('expected an EnvironmentError')
  } catch (error) {
    t.type(error, EnvironmentError)
    const { message } = error as EnvironmentError
    for (const name of ['DATABASE_URL', 'REDIS_URL', 'LOG_LEVEL']) t.match(message, name)
    t.notMatch(message, /secret|loud/)
  }
})

t.test('keys that share an id are a fault, where a command needs keys', async (t) => {
  const key = `a:${Buffer.alloc(32).toString('base64')}`
  const source = { STORAGE_ENCRYPTION_KEYS: `${key},${key}` }
  t.throws(() => readEnv(['STORAGE_ENCRYPTION_KEYS'], source), /STORAGE_ENCRYPTION_KEYS: expected ids that differ/)
  t.strictSame({ ...readEnv([], source) }, { LOG_LEVEL: 'info' })
  t.strictSame(readEnv(['STORAGE_ENCRYPTION_KEYS'], {}).STORAGE_ENCRYPTION_KEYS, [])
})

t.test('NO_COLOR counts where it is not empty', async (t) => {
  t.equal(isColorUnwanted({}), false)
  t.equal(isColorUnwanted({ NO_COLOR: '' }), false)
  t.equal(isColorUnwanted({ NO_COLOR: '1' }), true)
})
