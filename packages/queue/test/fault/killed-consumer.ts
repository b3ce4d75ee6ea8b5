// A process of its own for killed-consumer.test.ts: holds what it gets for ever, and says so.
import { createConsumer } from '../../src/index.ts'

createConsumer({
  maxInFlightBytes: 64_000_000,
  encryptionKeys: [],
  redisUrl: process.env['REDIS_URL']!,
  prefix: process.env['QUEUE_PREFIX']!,
  concurrency: 10,
  maxAttempts: 10,
  lockDurationMs: 1000,
  stalledIntervalMs: 300,
  handle: async (taken) => {
    process.stdout.write(`taken ${taken.stalledCount}\n`)
    return await new Promise(() => {})
  },
}).start()
