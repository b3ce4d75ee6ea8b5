import t from 'tap'
import { readEnv } from '../../src/index.ts'

const needed = { REDIS_URL: 'redis://a', DATABASE_URL: 'postgresql://a/b' }

// @see docs/contract.md#3-environment-and-processes
t.test('the defaults are the documented ones', async (t) => {
  const { WORKER_CONCURRENCY: concurrency, ...env } = readEnv(needed)
  t.strictSame(env, {
    ...needed,
    QUEUE_ENCRYPTION_KEYS: [],
    STORAGE_ENCRYPTION_KEYS: [],
    MAX_ATTEMPTS: 10,
    PRUNE_EVENTS_AFTER_DAYS: 0,
    PRUNE_DEAD_LETTERS_AFTER_DAYS: 0,
    CHANGES_KEEP_DAYS: 30,
    METRICS_HOST: '127.0.0.1',
    METRICS_PORT: 9465,
    DRAIN_TIMEOUT_MS: 20_000,
    LOG_LEVEL: 'info',
  })
  t.ok(concurrency > 1)
})

t.test('every fault is told at once, by name, without values', async (t) => {
  const source = {
    REDIS_URL: 'http://secret',
    DATABASE_URL: '',
    WORKER_CONCURRENCY: '0',
    MAX_ATTEMPTS: '1.5',
    PRUNE_EVENTS_AFTER_DAYS: '36501',
    PRUNE_DEAD_LETTERS_AFTER_DAYS: '-1',
    CHANGES_KEEP_DAYS: '0',
    METRICS_PORT: '70000',
    DRAIN_TIMEOUT_MS: '-1',
    LOG_LEVEL: 'loud',
  }
  t.throws(() => readEnv(source), { code: 'ENVIRONMENT_INVALID', faults: { length: 10 } })
  for (const name of Object.keys(source)) t.throws(() => readEnv(source), new RegExp(`${name}:`))
  t.throws(() => readEnv(source), /^(?![^]*(secret|70000|loud|36501))/)
})

t.test('no pruning where the days are left empty', async (t) => {
  t.equal(readEnv({ ...needed, PRUNE_EVENTS_AFTER_DAYS: '' }).PRUNE_EVENTS_AFTER_DAYS, 0)
  t.equal(readEnv({ ...needed, PRUNE_EVENTS_AFTER_DAYS: '90' }).PRUNE_EVENTS_AFTER_DAYS, 90)
})

for (const name of ['QUEUE_ENCRYPTION_KEYS', 'STORAGE_ENCRYPTION_KEYS'] as const)
  t.test(`${name} are told by their shape, and each by an id of its own`, async (t) => {
    const [first, second] = ['a', 'b'].map((id) => `${id}:${Buffer.alloc(32, id).toString('base64')}`)
    const readKeys = (keys: string) => readEnv({ ...needed, [name]: keys })[name]
    t.strictSame(readKeys(`${first},${second}`), [first, second])
    t.throws(() => readKeys('a:c2hvcnQ='), new RegExp(`${name}: expected keys as`))
    t.throws(() => readKeys(`${first},${first}`), new RegExp(`${name}: expected ids that differ`))
  })
