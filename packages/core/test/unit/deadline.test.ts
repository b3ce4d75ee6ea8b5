import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { withDeadline, type Deadline } from '../../src/index.ts'

const never = async () => new Promise<never>(() => {})
const throwLate = () => {
  throw new Error('late')
}

t.test('an operation that ends in time gives its own result', async (t) => {
  t.equal(await withDeadline(1000, async () => 'in time', () => 'late'), 'in time') // prettier-ignore
  await t.rejects(
    withDeadline(1000, async () => Promise.reject(new Error('own')), () => 'late'), // prettier-ignore
    { message: 'own' },
  )
})

t.test('past the deadline the late answer is the result', async (t) => {
  const startedAt = performance.now()
  t.equal(await withDeadline(20, never, () => 'late'), 'late')
  t.ok(performance.now() - startedAt < 1000)
  await t.rejects(withDeadline(5, never, throwLate), { message: 'late' })
})

t.test('a rejection after the deadline is no unhandled one', async (t) => {
  const gate = new EventEmitter()
  await withDeadline(5, async () => once(gate, 'never'), () => null) // prettier-ignore
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  gate.emit('error', new Error('too late'))
  await new Promise((resolve) => setImmediate(resolve))
  t.same(unhandled, [])
})

t.test('an exceeded deadline aborts the signal of the operation, and no other', async (t) => {
  const seen: Deadline[] = []
  const keep = async (deadline: Deadline) => {
    seen.push(deadline)
    return deadline.signal.aborted
  }
  t.equal(await withDeadline(1000, keep, throwLate), false)
  await withDeadline(5, async (deadline) => { await keep(deadline); return never() }, () => null) // prettier-ignore
  const [inTime, late] = seen
  t.equal(inTime?.signal.aborted, false)
  t.equal(inTime?.isExceeded, false)
  t.ok((inTime?.remainingMs ?? 0) > 0)
  t.equal(late?.signal.aborted, true)
  t.equal(late?.isExceeded, true)
  t.equal(late?.remainingMs, 0)
})

t.test('listeners hear once that the deadline is exceeded, later ones at once', async (t) => {
  const heard: string[] = []
  let kept: Deadline | undefined
  const listen = async (deadline: Deadline) => {
    deadline.onExceeded(() => heard.push('first'))
    deadline.onExceeded(() => heard.push('second'))
    kept = deadline
    return never()
  }
  await withDeadline(5, listen, () => null)
  kept?.onExceeded(() => heard.push('late'))
  t.strictSame(heard, ['first', 'second', 'late'])
  await withDeadline(5, async (deadline) => deadline.onExceeded(() => heard.push('in time')), () => null) // prettier-ignore
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.notOk(heard.includes('in time'))
})

t.test('a signal that is asked for after the deadline is aborted already', async (t) => {
  let kept: Deadline | undefined
  await withDeadline(5, async (deadline) => { kept = deadline; return never() }, () => null) // prettier-ignore
  t.equal(kept?.signal.aborted, true)
})
