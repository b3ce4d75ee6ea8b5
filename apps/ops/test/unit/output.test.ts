import t from 'tap'
import { formatDuration } from '../../src/output/output.ts'

t.test('a duration is told in its greatest unit, and in two units from a minute on', async (t) => {
  const cases = [
    [0, '0 ms'],
    [12.4, '12 ms'],
    [999, '999 ms'],
    [2_100, '2.1 s'],
    [1_000, '1.0 s'],
    [59_990, '59.9 s'],
    [90_000, '1 min 30 s'],
    [12_600_000, '3 h 30 min'],
    [172_800_000, '2 d'],
  ] as const
  for (const [durationMs, text] of cases) t.equal(formatDuration(durationMs), text)
})
