import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { withDeadline } from '../../src/index.ts'

const never = new Promise<never>(() => {})
const throwLate = () => {
  throw new Error('late')
}

t.test('what settles in time decides', async (t) => {
  t.equal(await withDeadline(Promise.resolve('in time'), 1000, () => 'late'), 'in time')
  await t.rejects(
    withDeadline(Promise.reject(new Error('own')), 1000, () => 'late'),
    { message: 'own' },
  )
})

t.test('past the deadline the late answer decides', async (t) => {
  const startedAt = performance.now()
  t.equal(await withDeadline(never, 20, () => 'late'), 'late')
  t.ok(performance.now() - startedAt < 1000)
  await t.rejects(withDeadline(never, 5, throwLate), { message: 'late' })
})

t.test('a rejection after the deadline is no unhandled one', async (t) => {
  const gate = new EventEmitter()
  const slow = once(gate, 'never')
  await withDeadline(slow, 5, () => null)
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  gate.emit('error', new Error('too late'))
  await new Promise((resolve) => setImmediate(resolve))
  t.same(unhandled, [])
})
