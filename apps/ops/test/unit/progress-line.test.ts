import t from 'tap'
import { progressLine } from '../../src/progress-line.ts'
import { captureOutput } from '../fixtures/captured-output.ts'

const progress = {
  plannedDeliveries: 8,
  begunDeliveries: 2,
  acknowledgedEvents: 1,
  retriesWaiting: 0,
  gaveUpEvents: 0,
}

t.test('progress is drawn on one line of a terminal, and cleared', async (t) => {
  const output = captureOutput({ isTTY: true })
  const line = progressLine(output)
  line.show(progress)
  line.show({ ...progress, retriesWaiting: 3 })
  line.clear()
  const clear = '\r\u001b[2K'
  const text = '25 %  2/8 deliveries, 1 events acknowledged'
  t.equal(output.stderr(), `${clear}${text}${clear}${text}, 3 to retry, 0 given up${clear}`)
  t.equal(output.stdout(), '')
})

t.test('where stderr is no terminal nothing is drawn', async (t) => {
  const output = captureOutput()
  const line = progressLine(output)
  line.show(progress)
  line.clear()
  t.equal(output.stderr(), '')
})
