import { Deadline } from '@persona-ingest/core'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { aDelivery } from '../a-delivery.ts'
import { aQueue, done, empty } from '../a-queue.ts'

const program = fileURLToPath(new URL('killed-consumer.ts', import.meta.url))

t.test('a delivery whose process is killed again and again is still there, with all its attempts', async (t) => {
  const redis = await throwAwayRedis(t)
  const { prefix, producer, aConsumer, taken } = aQueue(t, redis, { lockDurationMs: 1000, stalledIntervalMs: 300 })
  await producer.enqueue(aDelivery('evt_hard'), new Deadline(5000))
  for (let round = 0; round < 4; round += 1) {
    const child = spawn(process.execPath, [...process.execArgv, program], {
      env: { ...process.env, REDIS_URL: redis.url, QUEUE_PREFIX: prefix },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    t.equal(line.toString().trim(), `taken ${round}`)
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  aConsumer(done)
  await eventually(() => taken.length === 1, { deadlineMs: 10_000 })
  t.match(taken[0], { eventId: 'evt_hard', attemptsMade: 0, stalledCount: 4 })
  await eventually(async () => (await producer.counts()).active === 0)
  t.strictSame(await producer.counts(), empty)
})
