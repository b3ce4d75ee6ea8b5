import type { RedisServer, TestScope } from '@persona-ingest/testkit'
import {
  createConsumer,
  createProducer,
  type ConsumerOptions,
  type InFlightDelivery,
  type DeliveryOutcome,
} from '../src/index.ts'

let prefixes = 0

/** A producer and consumers on a queue of their own; what the consumers took is noted. */
export function aQueue(t: TestScope, redis: RedisServer, options: Partial<ConsumerOptions> = {}) {
  const prefix = `test${(prefixes += 1)}`
  const taken: InFlightDelivery[] = []
  const errors: Error[] = []
  const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url, prefix })
  t.teardown(() => producer.close())
  const aConsumer = (
    handle: (taken: InFlightDelivery) => Promise<DeliveryOutcome>,
    overrides: Partial<ConsumerOptions> = {},
  ) => {
    const consumer = createConsumer({
      maxInFlightBytes: 64_000_000,
      encryptionKeys: [],
      redisUrl: redis.url,
      prefix,
      concurrency: 10,
      maxAttempts: 10,
      onError: (error) => errors.push(error),
      ...options,
      ...overrides,
      handle: async (delivery) => {
        taken.push(delivery)
        return await handle(delivery)
      },
    })
    t.teardown(() => consumer.close({ timeoutMs: 2000 }))
    consumer.start()
    return consumer
  }
  return { prefix, key: (name: string) => `${prefix}:persona-events:${name}`, producer, aConsumer, taken, errors }
}

/** A handler that acks every delivery. */
export const done = async (): Promise<DeliveryOutcome> => ({ action: 'ack' })

/** The counts of a queue in which nothing is left. */
export const empty = { waiting: 0, active: 0, delayed: 0, failed: 0 }
