import t from 'tap'
import { QueueUnavailableError } from '@persona-ingest/queue'
import { Backlog } from '../../src/deliveries/enqueue.ts'

function counting(waiting: number) {
  const asked = { times: 0 }
  const counts = async () => {
    asked.times += 1
    return { waiting, active: 1, delayed: 1, failed: 100 }
  }
  return { asked, producer: { counts } }
}

t.test('at the limit deliveries pass, above it they are refused; failed jobs do not count', async (t) => {
  await new Backlog(counting(3).producer, 5).refuseOverLimit()
  await t.rejects(new Backlog(counting(4).producer, 5).refuseOverLimit(), { code: 'BACKLOG_EXCEEDED' })
})

t.test('a limit of 0 asks nothing', async (t) => {
  const { asked, producer } = counting(1_000_000)
  await new Backlog(producer, 0).refuseOverLimit()
  t.equal(asked.times, 0)
})

t.test('deliveries of the same second share a count', async (t) => {
  const { asked, producer } = counting(0)
  const backlog = new Backlog(producer, 5)
  await Promise.all(Array.from({ length: 20 }, async () => backlog.refuseOverLimit()))
  await backlog.refuseOverLimit()
  t.equal(asked.times, 1)
})

t.test('a count that fails or hangs refuses, soon', async (t) => {
  const cause = new QueueUnavailableError('QUEUE_UNREACHABLE')
  const failing = new Backlog({ counts: async () => Promise.reject(cause) }, 5)
  await t.rejects(failing.refuseOverLimit(), { code: 'QUEUE_UNAVAILABLE', cause })
  const startedAt = performance.now()
  const hanging = new Backlog({ counts: async () => new Promise(() => {}) }, 5)
  await t.rejects(hanging.refuseOverLimit(), { code: 'QUEUE_UNAVAILABLE', cause: { code: 'QUEUE_TOO_SLOW' } })
  t.ok(performance.now() - startedAt < 2000)
})
