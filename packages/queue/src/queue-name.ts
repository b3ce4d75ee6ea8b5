/** The one queue of this service; its name is spelt here and nowhere else. */
export const QUEUE_NAME = 'persona-events'

/** First part of every Redis key of the queue; BullMQ's own default, changed by tests that share a server. */
export const DEFAULT_PREFIX = 'bull'
