import t from 'tap'
import { backoffMs } from '../../src/index.ts'

t.test('pauses double from the first one up to the longest', async (t) => {
  const pauses = [1, 2, 3, 4, 5, 6, 7].map((failures) =>
    backoffMs(failures, { firstMs: 100, longestMs: 3000, jitter: 0 }),
  )
  t.strictSame(pauses, [100, 200, 400, 800, 1600, 3000, 3000])
})

t.test('jitter only shortens a pause, by its share at most', async (t) => {
  const backoff = { firstMs: 100, longestMs: 3000, jitter: 0.5 }
  t.equal(backoffMs(1, { ...backoff, random: () => 0 }), 100)
  t.equal(backoffMs(9, { ...backoff, random: () => 1 }), 1500)
})

t.test('any number of failures gives a finite pause', async (t) => {
  t.equal(backoffMs(1e6, { firstMs: 100, longestMs: 3000, jitter: 0 }), 3000)
})
