/* A process that does nothing but start a consumer and close it after a while; it is to end by itself. */
import { setTimeout as pause } from 'node:timers/promises'
import { createConsumer } from '../../src/index.ts'

const consumer = createConsumer({
  maxInFlightBytes: 64_000_000,
  encryptionKeys: [],
  redisUrl: process.env['REDIS_URL'] ?? '',
  concurrency: 10,
  maxAttempts: 10,
  handle: async () => ({ action: 'ack' }),
})
consumer.start()
const closeAfterMs = Number(process.env['CLOSE_AFTER_MS'])
console.log('started')
await pause(closeAfterMs)
await consumer.close({ timeoutMs: 1000 })
console.log('closed')
