import { backoffMs, DeadlineExceededError, KeyRing, withDeadline, type Deadline } from '@persona-ingest/core'
import { Queue, type QueueOptions } from 'bullmq'
import { BullMQOtel } from 'bullmq-otel'
import { Redis } from 'ioredis'
import { collectCopies, consumeWithoutMemory, noVersionCheck, writeQueueSettings } from './bullmq-quirks.ts'
import { queueUnavailable, QueueUnavailableError, redisFault } from './errors.ts'
import { requireDatabase, sendLongTextAsBytes } from './ioredis-quirks.ts'
import { readRedisUrl } from './redis-url.ts'

/** The queue that takes deliveries. */
const QUEUE_NAME = 'persona-events'

/** First part of every Redis key of the queue; BullMQ's own default, changed by tests that share a server. */
const DEFAULT_PREFIX = 'bull'

/** BullMQ would keep some 10,000 entries of events that this program never reads. */
const MAX_EVENTS = 100

/** Processes that lose the same Redis at the same moment must not all come back at the same moment. */
const RECONNECT = { firstMs: 50, longestMs: 2000, jitter: 0.5 }

/** After a fail-over the old connection leads to a replica, which answers READONLY until it is connected to anew. */
function isDemoted(error: Error): boolean {
  return error.message.startsWith('READONLY')
}

/** The options of ioredis, and never a URL: ioredis would read more of it than was checked. */
function commonOptions(redisUrl: string) {
  const target = readRedisUrl(redisUrl)
  if ('faults' in target) throw new RangeError(`The URL of Redis is not valid: ${target.faults.join(', ')}`)
  const { tls, username, password, ...server } = target
  return {
    ...server,
    ...(tls ? { tls: {} } : {}),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    retryStrategy: (attempt: number) => backoffMs(attempt, RECONNECT),
    connectTimeout: 3000,
    keepAlive: 10_000,
    disconnectTimeout: 500,
  }
}

/**
 * Opens a connection that fails fast, for answers within a deadline.
 *
 * It keeps no command for later: a command fails at once while there is no connection, and when the connection ends. It
 * reconnects in the background without end.
 */
function failFastClient(redisUrl: string, deadlineMs: number, onRefused: () => void): Redis {
  const client = new Redis({
    ...commonOptions(redisUrl),
    enableOfflineQueue: false,
    // With 1 or more, the commands of a lost connection would never be answered at all (see the next line).
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // No timeout per command: the deadline of the caller ends its wait. This one ends a connection whose peer vanished, and
    // with it the commands that wait for their answers.
    socketTimeout: deadlineMs + 2000,
    reconnectOnError: isDemoted,
    // Measured on 2 cores, 3 KB bodies, 64 in flight, appendfsync always: 7,300 adds/s with it, 13,400 without.
    enableAutoPipelining: false,
  })
  requireDatabase(client, onRefused)
  sendLongTextAsBytes(client)
  // Each delivery that waits for the first connection listens to it.
  return client.setMaxListeners(Infinity)
}

/** The connection of a worker, with the copies that BullMQ makes of it. */
export type WorkerConnection = {
  readonly client: Redis
  /** Ends the connection and every copy at once. */
  readonly disconnect: () => void
}

/**
 * Opens a connection that waits while Redis is away, for a worker.
 *
 * Commands are kept and sent again after a reconnect; those of BullMQ are safe to repeat. `onRefused` is called where Redis
 * refuses the number of the database.
 */
export function openWorkerConnection(redisUrl: string, onRefused: () => void): WorkerConnection {
  const client = new Redis({
    ...commonOptions(redisUrl),
    maxRetriesPerRequest: null,
    // The longest command is a fetch, which blocks for 5 s; a connection that is silent for longer is a dead one.
    socketTimeout: 8000,
    // 2: the refused command is sent again after reconnecting, so that a fail-over uses up no attempt.
    reconnectOnError: (error) => (isDemoted(error) ? 2 : false),
  })
  requireDatabase(client, onRefused)
  consumeWithoutMemory(client)
  const copies = collectCopies(client, (copy) => requireDatabase(copy, onRefused))
  // BullMQ listens while it uses the connection; without any listener ioredis writes to the console.
  client.on('error', () => {})
  return {
    client,
    disconnect() {
      for (const each of [client, ...copies]) each.disconnect()
    },
  }
}

/** What a queue and its workers have in common: name, keys of Redis, and BullMQ's spans where `isTraced`. */
export function commonQueueOptions(options: {
  readonly name?: string | undefined
  readonly prefix?: string | undefined
  readonly isTraced?: boolean | undefined
}): { readonly name: string; readonly options: Omit<QueueOptions, 'connection'> } {
  const telemetry = options.isTraced === true ? { telemetry: new BullMQOtel({ tracerName: 'persona-ingest' }) } : {}
  return {
    name: options.name ?? QUEUE_NAME,
    options: { prefix: options.prefix ?? DEFAULT_PREFIX, ...noVersionCheck, ...telemetry },
  }
}

/** The queue over a fail-fast connection of its own. */
export type QueueConnection = {
  readonly queue: Queue
  readonly client: Redis
  readonly keys: KeyRing
  /** Longest wait for an answer of Redis, in ms. */
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
  /** Ends the connection at once. */
  readonly close: () => Promise<void>
}

/** Opens the queue; returns at once, also while Redis is away. */
export function openQueue(options: {
  readonly redisUrl: string
  /** Default: the queue that takes deliveries. */
  readonly name?: string | undefined
  readonly prefix?: string | undefined
  readonly deadlineMs: number
  readonly isTraced?: boolean | undefined
  readonly encryptionKeys: readonly string[]
  readonly onError?: ((error: Error) => void) | undefined
  readonly onUnusable?: ((error: QueueUnavailableError) => void) | undefined
}): QueueConnection {
  const keys = new KeyRing(options.encryptionKeys)
  let hasBeenReady = false
  let isRefused = false
  const noteRefused = () => {
    if (!isRefused && !hasBeenReady) options.onUnusable?.(new QueueUnavailableError('QUEUE_DATABASE_REFUSED'))
    isRefused = true
  }
  const client = failFastClient(options.redisUrl, options.deadlineMs, noteRefused)
  const common = commonQueueOptions(options)
  const queue = new Queue(common.name, {
    ...common.options,
    connection: client,
    streams: { events: { maxLen: MAX_EVENTS } },
  })
  const onError = (error: unknown) => options.onError?.(redisFault(error))
  // Without a listener an `error` event ends the process. BullMQ emits the connection's own errors too.
  queue.on('error', onError)
  let connectionFault: Error | undefined
  client.on('error', (error) => {
    const fault = redisFault(error)
    // A wrong password is reported first; what a connection without a login is refused comes after it.
    if (connectionFault === undefined || !fault.message.startsWith('NOAUTH')) connectionFault = fault
  })
  client.on('ready', () => {
    hasBeenReady = true
    isRefused = false
    connectionFault = undefined
    writeQueueSettings(queue).catch(onError)
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
      // `disconnect` and not `quit`, which waits for an answer of Redis.
      client.disconnect()
      await queue.close()
    },
  }
}

/** Throws the `QueueUnavailableError` that tells why there is no connection; returns where there is one. */
export function requireConnection(connection: QueueConnection): void {
  if (connection.isClosed()) throw new QueueUnavailableError('QUEUE_CLOSED')
  if (connection.isConnected()) return
  if (connection.isRefused()) throw new QueueUnavailableError('QUEUE_DATABASE_REFUSED')
  throw new QueueUnavailableError('QUEUE_UNREACHABLE', connection.connectionFault())
}

/** Resolves once the attempt to connect that is under way has ended, or the deadline is exceeded. */
async function connectAttemptEnded(client: Redis, deadline: Deadline): Promise<void> {
  if (client.status !== 'connecting' && client.status !== 'connect') return
  await new Promise<void>((resolve) => {
    const stop = () => {
      client.off('ready', stop).off('close', stop)
      resolve()
    }
    client.on('ready', stop).on('close', stop)
    deadline.onExceeded(stop)
  })
}

/**
 * Waits for an attempt to connect that is under way, until the deadline at most. Throws a `DeadlineExceededError`, else as
 * {@link requireConnection} does.
 */
export async function untilConnected(connection: QueueConnection, deadline: Deadline): Promise<void> {
  if (!connection.isClosed()) await connectAttemptEnded(connection.client, deadline)
  // A late write would keep a payload although its caller was refused.
  if (deadline.isExceeded) throw new DeadlineExceededError()
  requireConnection(connection)
}

function tooSlow(): never {
  throw new QueueUnavailableError('QUEUE_TOO_SLOW')
}

/** Asks the queue once there is a connection. Rejects with a `QueueUnavailableError` within `deadlineMs`. */
export async function onQueue<T>(connection: QueueConnection, ask: () => Promise<T>): Promise<T> {
  const askConnected = async (deadline: Deadline) => {
    await untilConnected(connection, deadline)
    return await ask()
  }
  try {
    return await withDeadline(connection.deadlineMs, askConnected, tooSlow)
  } catch (error) {
    throw queueUnavailable(error)
  }
}
