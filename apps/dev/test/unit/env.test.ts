import t from 'tap'
import { appEnv, readEnv } from '../../src/env.ts'

t.test('without variables the servers are its own and nobody else may knock', async (t) => {
  const env = readEnv({})
  t.equal(env.DATABASE_URL, undefined)
  t.equal(env.REDIS_URL, undefined)
  t.match(env, { HOST: '127.0.0.1', PORT: 8080, METRICS_PORT: 9464, DEV_FOLDER: '.dev' })
})

t.test('faults are told by name', async (t) => {
  t.throws(() => readEnv({ DATABASE_URL: 'mysql://x', PORT: 'http' }), { message: /DATABASE_URL[^]*PORT/ })
})

t.test('an app gets our environment with what is replaced, also where a file gave it', async (t) => {
  const source = { LOG_LEVEL: 'debug', REDIS_URL_FILE: '/run/redis', PORT: '1' }
  t.same(appEnv({ REDIS_URL: 'redis://127.0.0.1:2', PORT: '3' }, source), {
    NODE_ENV: 'development',
    LOG_LEVEL: 'debug',
    REDIS_URL: 'redis://127.0.0.1:2',
    REDIS_URL_FILE: undefined,
    PORT: '3',
    PORT_FILE: undefined,
  })
  t.match(appEnv({}, { NODE_ENV: 'test' }), { NODE_ENV: 'test' })
  t.match(appEnv({}, { NODE_ENV: ' ' }), { NODE_ENV: 'development' }, 'an empty variable counts as unset')
  t.notOk('NODE_ENV' in appEnv({}, { NODE_ENV_FILE: '/run/node-env' }))
})
