import t from 'tap'
import { retryWaitMs } from '../../src/index.ts'

t.test('the waits are those of the provider, and there are seven', async (t) => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 8].map(retryWaitMs)
  t.strictSame(waits, [3000, 64_000, 729_000, 4_096_000, 15_625_000, 46_656_000, 117_649_000, null])
  t.equal(
    waits.reduce<number>((sum, wait) => sum + (wait ?? 0), 0),
    184_822_000,
  )
})
