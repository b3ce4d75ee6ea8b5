import t from 'tap'
import { eventually } from '@persona-ingest/testkit'

t.test('gives the value of the first try that neither throws nor is false', async (t) => {
  const answers = [() => false, () => Promise.reject(new Error('not yet')), () => 0]
  const value = await eventually(() => answers.shift()?.(), { everyMs: 1 })
  t.equal(value, 0)
  t.equal(answers.length, 0)
})

t.test('a check without a value succeeds', async (t) => {
  t.equal(await eventually(() => {}), undefined)
})

t.test('throws the last error past the deadline', async (t) => {
  let tries = 0
  const check = () => {
    tries += 1
    throw new Error(`try ${tries}`)
  }
  const error = await eventually(check, { deadlineMs: 60, everyMs: 10 }).catch((error: unknown) => error)
  t.ok(tries > 1)
  t.equal((error as Error).message, `try ${tries}`)
})

t.test('checks less often the longer it waits', async (t) => {
  let tries = 0
  await eventually(
    () => {
      tries += 1
      return false
    },
    { deadlineMs: 1000 },
  ).catch(() => {})
  t.ok(tries > 1 && tries < 30, `${tries} tries in a second`)
})

t.test('says that the condition was still false', async (t) => {
  await t.rejects(
    eventually(() => false, { deadlineMs: 20, everyMs: 5 }),
    { message: 'the condition was still false after 20 ms' },
  )
})

t.test('a check that never settles does not hold it beyond the deadline', async (t) => {
  const startedAtMs = performance.now()
  await t.rejects(
    eventually(() => new Promise(() => {}), { deadlineMs: 50 }),
    { message: 'the condition did not settle within 50 ms' },
  )
  t.ok(performance.now() - startedAtMs < 2000)
})
