import fc from 'fast-check'
import t from 'tap'
import { retryMs, SCHEDULE } from '../../src/schedule.ts'

t.test('the first retry comes after 1 to 5 s, each later one after at most twice as long, up to an hour', async (t) => {
  t.equal(retryMs(1, SCHEDULE, () => 0), 5_000) // prettier-ignore
  t.equal(retryMs(1, SCHEDULE, () => 1), 1_000) // prettier-ignore
  t.equal(retryMs(2, SCHEDULE, () => 0), 10_000) // prettier-ignore
  t.equal(retryMs(30, SCHEDULE, () => 0), 3_600_000) // prettier-ignore
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      const pauseMs = retryMs(failures, SCHEDULE, () => random)
      return pauseMs >= 1_000 && pauseMs <= 3_600_000
    }),
  )
  t.equal(SCHEDULE.giveUpAfterMs, 3 * 24 * 3_600_000)
})
