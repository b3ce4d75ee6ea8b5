import t from 'tap'
import { MemoryBudget, heapBytesOf, memoryBounds } from '../../src/commit.ts'

const MIB = 2 ** 20
const pass = () => new Promise((resolve) => setImmediate(resolve))

t.test('what is in flight fits into the heap, whatever its limit', async (t) => {
  for (const heapLimit of [128 * MIB, 256 * MIB, 530 * MIB, 4096 * MIB]) {
    const { maxInFlightBytes, memory } = memoryBounds(heapLimit)
    const readBytes = memory.limit
    // Text of two bytes a character, and the read events.
    t.ok(2 * maxInFlightBytes + readBytes < heapLimit / 2, `${heapLimit / MIB} MiB: ${maxInFlightBytes} ${readBytes}`)
    t.ok(maxInFlightBytes >= 2 * 2_900_000, 'two of the largest jobs')
  }
})

t.test('the estimate counts what a body becomes, not its bytes alone', async (t) => {
  const text = Buffer.from(JSON.stringify({ note: 'x'.repeat(100_000) }))
  const small = Buffer.from(JSON.stringify(Array.from({ length: 33_000 }, () => ({}))))
  t.ok(heapBytesOf(text) < 5 * text.length)
  t.ok(heapBytesOf(small) > 50 * small.length)
})

t.test('work waits for its bytes in the order of its asking, and what is larger than all goes alone', async (t) => {
  const budget = new MemoryBudget(100)
  const begun: string[] = []
  const take = async (name: string, bytes: number) => {
    const giveBack = await budget.take(bytes)
    begun.push(name)
    return giveBack
  }
  const first = await take('first', 60)
  const waiting = [take('large', 500), take('small', 10)]
  await pass()
  t.strictSame(begun, ['first'], 'the small one does not overtake')
  first()
  const large = await waiting[0]
  t.strictSame(begun, ['first', 'large'])
  t.equal(budget.taken(), 500)
  large?.()
  const small = await waiting[1]
  t.equal(budget.taken(), 10)
  small?.()
  t.equal(budget.taken(), 0)
})
