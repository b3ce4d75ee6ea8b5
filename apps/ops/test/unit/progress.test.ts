import t from 'tap'
import { progressBar, statusLine } from '../../src/output/progress.ts'
import { simulationProgress } from '../../src/reports/simulation.ts'
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
  t.match(output.stderr(), /^\S+ 10 % {2}10,000\/100,000 events read, 1,000\/s, 1 min 30 s left\n\S+ 20 %.*\n$/)
})

const simulation = {
  plannedDeliveries: 8,
  begunDeliveries: 2,
  acknowledgedEvents: 1,
  retriesWaiting: 0,
  gaveUpEvents: 0,
}

t.test('a status line is drawn in place on a terminal, and cleared', async (t) => {
  const output = captureOutput({ isTTY: true })
  const line = statusLine(output)
  line.show(simulationProgress(simulation))
  line.show(simulationProgress({ ...simulation, retriesWaiting: 3 }))
  line.clear()
  const clear = '\r\u001b[2K'
  const text = '25 %  2/8 deliveries, 1 events acknowledged'
  t.equal(output.stderr(), `${clear}${text}${clear}${text}, 3 to retry, 0 given up${clear}`)
  t.equal(output.stdout(), '')
})

t.test('a status line draws nothing where stderr is no terminal', async (t) => {
  const output = captureOutput()
  const line = statusLine(output)
  line.show('25 %')
  line.clear()
  t.equal(output.stderr(), '')
})
