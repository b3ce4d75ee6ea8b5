import t from 'tap'
import { formatDuration } from '../../src/output/output.ts'

t.test('a duration is told in the greatest unit that it fills', async (t) => {
  const cases = [
    [0, '0 ms'],
    [12.4, '12 ms'],
    [999, '999 ms'],
    [2_100, '2.1 s'],
    [90_000, '1.5 min'],
    [12_600_000, '3.5 h'],
    [172_800_000, '2.0 d'],
  ] as const
  for (const [durationMs, text] of cases) t.equal(formatDuration(durationMs), text)
})
