import t from 'tap'
import { RepeatedLine } from '../../src/logger.ts'

t.test('the first is written at once, repetitions are counted until the time is over', async (t) => {
  const written: [string, number][] = []
  const line = new RepeatedLine<string>({ everyMs: 60_000, write: (key, count) => written.push([key, count]) })
  for (let i = 0; i < 5; i += 1) line.note('a')
  line.note('b')
  t.same(written, [
    ['a', 1],
    ['b', 1],
  ])
})

t.test('the next line tells how many there were since', async (t) => {
  const written: number[] = []
  const clock = t.capture(performance, 'now', () => nowMs)
  let nowMs = 0
  const line = new RepeatedLine<string>({ everyMs: 1000, write: (_key, count) => written.push(count) })
  line.note('a')
  nowMs = 999
  line.note('a')
  line.note('a')
  nowMs = 1000
  line.note('a')
  clock.restore()
  t.same(written, [1, 3])
})
