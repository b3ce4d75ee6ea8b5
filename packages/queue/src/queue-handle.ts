import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { KeyRing, withDeadline, type Deadline } from '@persona-ingest/core'
import { DEFAULT_PREFIX, QUEUE_NAME } from './queue-name.ts'
import { queueUnavailable, QueueUnavailableError } from './queue-unavailable-error.ts'
import { connected, failFastConnection } from './redis-connection.ts'
import { redisFault } from './redis-fault.ts'
import { telemetry } from './telemetry.ts'

/** BullMQ would keep some 10,000 entries of events that nobody here reads. */
const MAX_EVENTS = 100

/** The queue over a connection of its own that fails fast. */
export type QueueHandle = {
  readonly queue: Queue
  readonly client: Redis
  readonly keys: KeyRing
  /** Longest wait for Redis, in ms. */
  readonly deadlineMs: number
  readonly isClosed: () => boolean
  /** Whether there is a connection that can be used. */
  readonly isConnected: () => boolean
  /** Whether Redis refused to select the database when it was last connected to. */
  readonly isRefused: () => boolean
  /** Notes such a refusal on another connection of the same process. */
  readonly noteRefused: () => void
  /** Why there is no connection; undefined where that is not known. */
  readonly connectionFault: () => Error | undefined
  /** Lets the connection go at once. */
  readonly close: () => Promise<void>
}

/** Opens the queue; returns at once, also while Redis is away. */
export function openQueue(options: {
  redisUrl: string
  prefix?: string | undefined
  deadlineMs: number
  isTraced?: boolean | undefined
  encryptionKeys: readonly string[]
  onError?: ((error: Error) => void) | undefined
  onUnusable?: ((error: QueueUnavailableError) => void) | undefined
}): QueueHandle {
  const keys = new KeyRing(options.encryptionKeys)
  let hasBeenReady = false
  let isRefused = false
  const noteRefused = () => {
    if (!isRefused && !hasBeenReady) options.onUnusable?.(new QueueUnavailableError('QUEUE_DATABASE_REFUSED'))
    isRefused = true
  }
  const client = failFastConnection(options.redisUrl, options.deadlineMs, noteRefused)
  const queue = new Queue(QUEUE_NAME, {
    connection: client,
    prefix: options.prefix ?? DEFAULT_PREFIX,
    skipVersionCheck: true,
    ...telemetry(options.isTraced),
    streams: { events: { maxLen: MAX_EVENTS } },
  })
  // Without a listener an `error` event ends the process. BullMQ hands the connection's own errors on.
  queue.on('error', (error) => options.onError?.(redisFault(error)))
  let connectionFault: Error | undefined
  client.on('error', (error) => {
    const fault = redisFault(error)
    // A wrong password is told first; what a connection without a login is refused comes after it.
    if (connectionFault === undefined || !fault.message.startsWith('NOAUTH')) connectionFault = fault
  })
  // BullMQ writes this once, after its first connection; an emptied Redis has forgotten it.
  client.on('ready', () => {
    hasBeenReady = true
    isRefused = false
    connectionFault = undefined
    queue
      .getBackend()
      .setQueueMeta(queue.metaValues)
      .catch((error: unknown) => options.onError?.(redisFault(error)))
  })
  let isClosed = false
  return {
    queue,
    client,
    keys,
    deadlineMs: options.deadlineMs,
    isClosed: () => isClosed,
    isConnected: () => client.status === 'ready',
    isRefused: () => isRefused,
    noteRefused,
    connectionFault: () => connectionFault,
    async close() {
      isClosed = true
      // `disconnect` and not `quit`: a Redis that does not answer must not hold us up.
      client.disconnect()
      await queue.close()
    },
  }
}

/** Throws the `QueueUnavailableError` that tells why there is no connection; returns where there is one. */
export function requireConnection(handle: QueueHandle): void {
  if (handle.isClosed()) throw new QueueUnavailableError('QUEUE_CLOSED')
  if (handle.isConnected()) return
  if (handle.isRefused()) throw new QueueUnavailableError('QUEUE_DATABASE_REFUSED')
  throw new QueueUnavailableError('QUEUE_UNREACHABLE', handle.connectionFault())
}

/** Waits for an attempt to connect that is under way, until the deadline at most. Throws as `requireConnection` does. */
export async function untilConnected(handle: QueueHandle, { signal }: Deadline): Promise<void> {
  if (!handle.isClosed()) await connected(handle.client, signal)
  // A late write would hold a payload for a caller that was refused already.
  signal.throwIfAborted()
  requireConnection(handle)
}

function tooSlow(): never {
  throw new QueueUnavailableError('QUEUE_TOO_SLOW')
}

/** Runs an operation on the queue once there is a connection; rejects with a `QueueUnavailableError` in time. */
export async function onQueue<T>(handle: QueueHandle, operation: () => Promise<T>): Promise<T> {
  const ask = async (deadline: Deadline) => {
    await untilConnected(handle, deadline)
    return await operation()
  }
  try {
    return await withDeadline(handle.deadlineMs, ask, tooSlow)
  } catch (error) {
    throw queueUnavailable(error)
  }
}
