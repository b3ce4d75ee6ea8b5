import t from 'tap'
import { readEnv } from '../../src/env.ts'

t.test('the address of the database is all that is needed', async (t) => {
  t.strictSame(readEnv({ DATABASE_URL: 'postgresql://a/b' }), { DATABASE_URL: 'postgresql://a/b', LOG_LEVEL: 'info' })
})

t.test('every fault is told at once, by name, without values', async (t) => {
  const source = { DATABASE_URL: 'mysql://secret@a/b', LOG_LEVEL: 'loud' }
  t.throws(() => readEnv(source), { code: 'ENVIRONMENT_INVALID', faults: { length: 2 } })
  t.throws(() => readEnv(source), /DATABASE_URL[^]*LOG_LEVEL/)
  t.throws(() => readEnv(source), /^(?![^]*(secret|loud))/)
  t.throws(() => readEnv({}), /DATABASE_URL: missing/)
})
