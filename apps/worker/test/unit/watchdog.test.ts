import type { QueueRestraint } from '@persona-ingest/queue'
import { createLogger } from '@persona-ingest/service'
import t from 'tap'
import { createWatchdog, isAsleep } from '../../src/watchdog.ts'

const NOW_MS = 1_000_000_000
const idle = { waiting: 0, active: 0, delayed: 0, failed: 0 }
const asleep = {
  inFlightCount: () => 0,
  lastFinishedAtMs: () => NOW_MS - 61_000,
  counts: () => Promise.resolve({ ...idle, waiting: 3 }),
  restraint: (): Promise<QueueRestraint | null> => Promise.resolve(null),
  takeBackPaused: () => Promise.resolve(),
}

t.test('asleep: deliveries wait, none is in flight, none was finished for a minute', async (t) => {
  t.equal(await isAsleep(asleep, NOW_MS, null), true)
  t.equal(
    await isAsleep({ ...asleep, inFlightCount: () => 1 }, NOW_MS, null),
    false,
    'some are in flight: an outage of the database',
  )
  t.equal(await isAsleep({ ...asleep, lastFinishedAtMs: () => NOW_MS - 59_000 }, NOW_MS, null), false)
  t.equal(await isAsleep({ ...asleep, counts: () => Promise.resolve(idle) }, NOW_MS, null), false)
  t.equal(await isAsleep({ ...asleep, counts: () => Promise.reject(new Error('away')) }, NOW_MS, null), false)
  let inFlight = 0
  const counts = () => Promise.resolve({ ...idle, waiting: (inFlight = 1) })
  t.equal(
    await isAsleep({ ...asleep, inFlightCount: () => inFlight, counts }, NOW_MS, null),
    false,
    'it took some meanwhile',
  )
})

t.test('the process ends where it is found asleep twice in a row', async (t) => {
  const lines: string[] = []
  const logger = createLogger({ app: 'worker', level: 'info', destination: { write: (line) => void lines.push(line) } })
  let ends = 0
  let waiting = 3
  const counts = () => Promise.resolve({ ...idle, waiting })
  const consumer = { ...asleep, counts, lastFinishedAtMs: () => 0 }
  const watch = createWatchdog({
    consumer,
    progress: () => 0,
    canFinish: async () => true,
    logger,
    end: () => void (ends += 1),
  })
  await watch()
  waiting = 0
  await watch()
  waiting = 3
  await watch()
  t.equal(ends, 0)
  await watch()
  t.equal(ends, 1)
  t.match(lines, [/"level":"fatal".*started afresh/])
})

t.test(
  'stuck: for three minutes some are in flight and none is finished although it could be, seen twice in a row',
  async (t) => {
    const logger = createLogger({ app: 'worker', level: 'silent' })
    const state = { inFlight: 1, finishedAtMs: 1, progress: 0, canFinish: true, ends: 0 }
    const consumer = { ...asleep, inFlightCount: () => state.inFlight, lastFinishedAtMs: () => state.finishedAtMs }
    const monotonic = { nowMs: 1000 }
    t.capture(performance, 'now', () => monotonic.nowMs)
    const canFinish = async () => state.canFinish
    const progress = () => state.progress
    const watch = createWatchdog({ consumer, progress, canFinish, logger, end: () => void (state.ends += 1) })
    const watchAfter = async (ms: number) => {
      monotonic.nowMs += ms
      await watch()
    }
    await watch()
    for (const excuse of [{ finishedAtMs: 2 }, { progress: 1 }, { canFinish: false }, { inFlight: 0 }]) {
      await watchAfter(180_000)
      Object.assign(state, excuse)
      await watchAfter(60_000)
      Object.assign(state, { inFlight: 1, canFinish: true })
      await watchAfter(179_999)
      t.equal(state.ends, 0, JSON.stringify(excuse))
    }
    await watchAfter(1)
    t.equal(state.ends, 0, 'once')
    await watchAfter(60_000)
    t.equal(state.ends, 1)
  },
)

t.test('a queue that is paused or limited from a dashboard ends no process, and is logged once a minute', async (t) => {
  const lines: string[] = []
  const logger = createLogger({ app: 'worker', level: 'info', destination: { write: (line) => void lines.push(line) } })
  const state: { restraint: QueueRestraint | null; takenBack: number } = { restraint: 'paused', takenBack: 0 }
  const consumer = {
    ...asleep,
    lastFinishedAtMs: () => 0,
    restraint: async () => state.restraint,
    takeBackPaused: async () => void (state.takenBack += 1),
  }
  let ends = 0
  const common = { progress: () => 0, canFinish: async () => true, logger }
  const watch = createWatchdog({ consumer, ...common, end: () => void (ends += 1) })
  for (let time = 0; time < 5; time += 1) await watch()
  t.match(lines, [/"level":"warn".*"restraint":"paused".*the queue is paused/])
  t.equal(lines.length, 1)
  t.equal(state.takenBack, 5)
  state.restraint = 'limited'
  for (let time = 0; time < 5; time += 1) await watch()
  t.match(lines[1], /"restraint":"limited"/)
  t.equal(ends, 0)
  state.restraint = null
  await watch()
  t.match(lines[2], /"level":"info".*no longer restrained/)
  await watch()
  t.equal(ends, 1, 'then a worker that takes nothing is asleep again')
})
