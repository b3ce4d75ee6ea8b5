import t from 'tap'
import { AcknowledgementDeadline, LoopLateness } from '../../src/deliveries/deadline.ts'

function aDeadline() {
  const loop = { latenessMs: 0 }
  return { loop, deadline: new AcknowledgementDeadline({ worstMs: () => loop.latenessMs }) }
}

t.test(
  'reading, verification and twice the lateness of the event loop shorten the deadline of an enqueue',
  async (t) => {
    const { loop, deadline } = aDeadline()
    t.equal(deadline.enqueueDeadlineMs(0, 0), 2000)
    t.equal(deadline.enqueueDeadlineMs(400, 0), 2000, 'there is time to spare')
    t.equal(deadline.enqueueDeadlineMs(900, 0), 1600)
    t.equal(deadline.enqueueDeadlineMs(9000, 0), 1500, 'a client that takes longer is slow itself')
    t.equal(deadline.enqueueDeadlineMs(0, 800), 1700)
    loop.latenessMs = 700
    t.equal(deadline.enqueueDeadlineMs(0, 0), 1100)
    loop.latenessMs = 5000
    t.equal(deadline.enqueueDeadlineMs(0, 0), 0)
  },
)

t.test('while Redis does not answer the deadline is half a second at most', async (t) => {
  const { loop, deadline } = aDeadline()
  deadline.noteUnanswered()
  t.equal(deadline.enqueueDeadlineMs(0, 0), 500)
  loop.latenessMs = 1200
  t.equal(deadline.enqueueDeadlineMs(0, 0), 100)
  deadline.noteConfirmed()
  loop.latenessMs = 0
  t.equal(deadline.enqueueDeadlineMs(0, 0), 2000)
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
  clock.nowMs += 920
  t.equal(lateness.worstMs(), 900)
  lateness.reset()
  t.equal(lateness.worstMs(), 0, 'the lateness of a start is forgotten')
  lateness.close()
  restore()
})
