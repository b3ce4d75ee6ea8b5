import t from 'tap'
import { LoopLateness, Patience } from '../../src/deliveries/deadline.ts'

function aPatience() {
  const loop = { latenessMs: 0 }
  return { loop, patience: new Patience({ worstMs: () => loop.latenessMs }) }
}

t.test('what a body took to be read, and twice what the event loop is late, go off a delivery its wait', async (t) => {
  const { loop, patience } = aPatience()
  t.equal(patience.forDelivery(0), 2500)
  t.equal(patience.forDelivery(400), 2100)
  t.equal(patience.forDelivery(9000), 1500, 'of a slow client it is not all ours')
  loop.latenessMs = 700
  t.equal(patience.forDelivery(0), 1100)
  loop.latenessMs = 5000
  t.equal(patience.forDelivery(0), 0)
})

t.test('while Redis is deaf half a second is the most', async (t) => {
  const { loop, patience } = aPatience()
  patience.noteTooSlow()
  t.equal(patience.forDelivery(0), 500)
  loop.latenessMs = 1200
  t.equal(patience.forDelivery(0), 100)
  patience.noteConfirmed()
  loop.latenessMs = 0
  t.equal(patience.forDelivery(0), 2500)
})

t.test('the lateness of the event loop is seen while it lasts, for a second or two, and then forgotten', async (t) => {
  const clock = { nowMs: 1000 }
  const restore = t.capture(performance, 'now', () => clock.nowMs).restore
  const ticks: (() => void)[] = []
  const timer = t.capture(globalThis, 'setInterval', ((tick: () => void) => {
    ticks.push(tick)
    return setTimeout(() => {}, 0)
  }) as typeof setInterval)
  const lateness = new LoopLateness()
  timer.restore()
  const tickAfter = (ms: number) => {
    clock.nowMs += ms
    ticks[0]?.()
  }
  tickAfter(20)
  t.equal(lateness.worstMs(), 0)
  clock.nowMs += 320
  t.equal(lateness.worstMs(), 300, 'under way')
  ticks[0]?.()
  tickAfter(20)
  t.equal(lateness.worstMs(), 300, 'over')
  for (let round = 0; round < 50; round += 1) tickAfter(20)
  t.equal(lateness.worstMs(), 300, 'a second later')
  for (let round = 0; round < 100; round += 1) tickAfter(20)
  t.equal(lateness.worstMs(), 0, 'two seconds later')
  lateness.close()
  restore()
})
