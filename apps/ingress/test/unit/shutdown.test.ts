import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { InFlight } from '../../src/http/shutdown.ts'

t.test('none resolves at once while nothing is in flight', async (t) => {
  const inFlight = new InFlight()
  await inFlight.none()
  t.equal(inFlight.count, 0)
})

t.test('none waits for the last delivery in flight, failed ones included', async (t) => {
  const inFlight = new InFlight()
  const gate = new EventEmitter()
  const first = inFlight.track(async () => once(gate, 'first'))
  const second = inFlight.track(async () => once(gate, 'second'))
  t.equal(inFlight.count, 2)
  const order: string[] = []
  const none = inFlight.none().then(() => order.push('none'))
  gate.emit('first')
  await first
  order.push('first')
  gate.emit('error', new Error('failed'))
  await t.rejects(second, { message: 'failed' })
  await none
  t.same(order, ['first', 'none'])
  t.equal(inFlight.count, 0)
})

t.test('the result of a delivery is passed on', async (t) => {
  t.equal(await new InFlight().track(async () => 7), 7)
})
