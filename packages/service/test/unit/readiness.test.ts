import t from 'tap'
import { Readiness } from '../../src/index.ts'

t.test('names what is missing', async (t) => {
  const checks = { redis: async () => {}, database: async () => Promise.reject(new Error('away')) }
  t.same(await new Readiness({ checks }).missing(), ['database'])
  t.same(await new Readiness({ checks: { redis: checks.redis } }).missing(), [])
})

t.test('a check that hangs counts as failed after the time limit', async (t) => {
  const readiness = new Readiness({ checks: { redis: async () => new Promise(() => {}) }, timeoutMs: 20 })
  t.same(await readiness.missing(), ['redis'])
})

t.test('a flood of probes asks once', async (t) => {
  let asked = 0
  const readiness = new Readiness({ checks: { redis: async () => void (asked += 1) }, cacheMs: 60_000 })
  await Promise.all(Array.from({ length: 50 }, async () => readiness.missing()))
  await readiness.missing()
  t.equal(asked, 1)
})

t.test('an answer that is too old is asked for anew', async (t) => {
  let away = true
  const check = async () => (away ? Promise.reject(new Error('away')) : undefined)
  const readiness = new Readiness({ checks: { redis: check }, cacheMs: 0 })
  t.same(await readiness.missing(), ['redis'])
  away = false
  t.same(await readiness.missing(), [])
})

t.test('during the shutdown no check runs and draining alone is missing', async (t) => {
  const readiness = new Readiness({ checks: { redis: async () => void t.fail('asked') } })
  t.equal(readiness.isShuttingDown, false)
  readiness.beginShutdown()
  t.equal(readiness.isShuttingDown, true)
  t.same(await readiness.missing(), ['draining'])
})
