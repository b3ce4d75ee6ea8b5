import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { HeldDeliveries } from '../../src/http/shutdown.ts'

t.test('none resolves at once while nothing is held', async (t) => {
  const held = new HeldDeliveries()
  await held.none()
  t.equal(held.count, 0)
})

t.test('none waits for the last one held, failed ones included', async (t) => {
  const held = new HeldDeliveries()
  const gate = new EventEmitter()
  const first = held.hold(async () => once(gate, 'first'))
  const second = held.hold(async () => once(gate, 'second'))
  t.equal(held.count, 2)
  const order: string[] = []
  const none = held.none().then(() => order.push('none'))
  gate.emit('first')
  await first
  order.push('first')
  gate.emit('error', new Error('failed'))
  await t.rejects(second, { message: 'failed' })
  await none
  t.same(order, ['first', 'none'])
  t.equal(held.count, 0)
})

t.test('what a held delivery gives is passed on', async (t) => {
  t.equal(await new HeldDeliveries().hold(async () => 7), 7)
})
