export type { Delivery, InFlightDelivery, Replay, DeliveryOutcome } from './delivery.ts'
export type { QueueCounts, QueueDurability, QueueRestraint, QueueView, UnencryptedDeliveries } from './queue-view.ts'

export { redisUrl } from './redis-url.ts'
export { createProducer, type Producer, type ProducerOptions } from './producer.ts'
export { createConsumer, type Consumer, type ConsumerOptions, type UndecryptableBody } from './consumer.ts'
export { queueFaults, QueueUnavailableError, type QueueFault } from './errors.ts'
