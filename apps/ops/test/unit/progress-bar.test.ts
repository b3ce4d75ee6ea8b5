import t from 'tap'
import { progressBar } from '../../src/progress-bar.ts'
import { captureOutput } from '../fixtures/captured-output.ts'

t.test('a terminal sees a bar that is drawn again and again, and then no more', async (t) => {
  const output = captureOutput({ isTTY: true })
  const realNow = performance.now.bind(performance)
  let nowMs = 0
  performance.now = () => nowMs
  t.teardown(() => (performance.now = realNow))
  const bar = progressBar(output)
  bar.show({ done: 0, total: 1_000_000, of: 'events read' })
  t.equal(output.stderr(), '', 'what is over at once says nothing')
  nowMs = 100
  bar.show({ done: 1, total: 1_000_000, of: 'events read' })
  nowMs = 2_000
  bar.show({ done: 500_000, total: 1_000_000, of: 'events read' })
  t.match(output.stderr(), /█{12}░{12} 50 % {2}500,000\/1,000,000 events read, 250,000\/s, 2.0 s left$/)
  bar.clear()
  t.ok(output.stderr().endsWith('\r\u001b[2K'))
})

t.test('elsewhere a line is written every ten seconds', async (t) => {
  const output = captureOutput()
  const realNow = performance.now.bind(performance)
  let nowMs = 0
  performance.now = () => nowMs
  t.teardown(() => (performance.now = realNow))
  const bar = progressBar(output)
  for (nowMs = 0; nowMs <= 25_000; nowMs += 500) bar.show({ done: nowMs, total: 100_000, of: 'events read' })
  bar.say('done with it')
  bar.clear()
  t.match(output.stderr(), /^\S+ 10 % {2}10,000\/100,000 events read, 1,000\/s, 1.5 min left\n\S+ 20 %.*\n$/)
})
