import { Queue, type QueueOptions, RedisConnection } from 'bullmq'
import { Redis } from 'ioredis'
import { KeyRing, withDeadline, type Deadline } from '@persona-ingest/core'
import { isRedisReply, queueUnavailable, QueueUnavailableError, redisFault } from './errors.ts'

import { BullMQOtel } from 'bullmq-otel'

import { readRedisUrl } from './redis-url.ts'

// BullMQ asks for the version with INFO while it starts, and when that one command fails (the connection drops at that
// moment, an ACL forbids it) the Queue or Worker is broken for good. We skip the question and give the
// lowest supported version: 7.0.0 lets a worker block for fractions of a second, but not for less than 2 ms (a bug until
// 7.0.8). @see docs/contract.md#3-environment-and-processes
RedisConnection.minimumVersion = '7.0.0'

/** Greatest pause between two attempts to connect. */
const RECONNECT_CAP_MS = 2000

function reconnectDelayMs(attempt: number): number {
  const delayMs = Math.min(25 * 2 ** Math.min(attempt, 10), RECONNECT_CAP_MS)
  // Many processes lose the same Redis at the same moment.
  return delayMs * (0.5 + Math.random() / 2)
}

/** After a fail-over the old connection leads to a replica, which answers READONLY until we connect anew. */
function isDemoted(error: Error): boolean {
  return error.message.startsWith('READONLY')
}

/** Which server and database: the driver gets options and never a URL, of which it would read more than was checked. */
function serverOptions(redisUrl: string) {
  const target = readRedisUrl(redisUrl)
  if ('faults' in target) throw new RangeError(`The URL of Redis is not valid: ${target.faults.join(', ')}`)
  const { tls, username, password, ...server } = target
  return {
    ...server,
    ...(tls ? { tls: {} } : {}),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
  }
}

/** The words of a Redis that has no such database, is a Cluster, or whose ACL forbids `SELECT`; no retry changes that. */
const REFUSAL = /^(ERR|NOPERM) /

/**
 * Gives a connection up when it can't select its database. ioredis only reports that, and goes on with database 0: the
 * queue of somebody else (tried with 6.0.0). `onRefused` is called where Redis itself refuses the number.
 */
function insistOnDatabase(client: Redis, onRefused: () => void): void {
  const select = client.select.bind(client)
  client.select = async (database: number) => {
    try {
      return await select(database)
    } catch (error) {
      // Without a login nothing works at all, and ioredis itself acts on that.
      const isLoginMissing = isRedisReply(error) && error.message.startsWith('NOAUTH')
      if (isRedisReply(error) && REFUSAL.test(error.message)) onRefused()
      if (!isLoginMissing) client.disconnect(true)
      throw error
    }
  }
}

const both = {
  retryStrategy: reconnectDelayMs,
  connectTimeout: 3000,
  keepAlive: 10_000,
  disconnectTimeout: 500,
}

/**
 * A connection that fails fast: for whatever is answered while somebody waits.
 *
 * Nothing is kept for later: a command fails at once while there is no connection, and when the connection goes, after a
 * silence of `deadlineMs` and 2 s at the latest. It reconnects for ever in the background.
 */
function failFastConnection(redisUrl: string, deadlineMs: number, onRefused: () => void): Redis {
  const client = new Redis({
    ...serverOptions(redisUrl),
    ...both,
    enableOfflineQueue: false,
    // With 1 or more, the commands of a lost connection would never be answered at all (see the next line).
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // No timeout per command: the deadline of its caller ends the wait. This one ends a connection whose peer vanished
    // without a word, and with it the commands that wait for their answers.
    socketTimeout: deadlineMs + 2000,
    reconnectOnError: isDemoted,
    // Measured on 2 cores, 3 KB bodies, 64 in flight, appendfsync always: 7,300 adds/s with it, 13,400 without.
    enableAutoPipelining: false,
  })
  insistOnDatabase(client, onRefused)
  sendLongTextAsBytes(client)
  // Each delivery that waits for the first connection listens to it.
  return client.setMaxListeners(Infinity)
}

/** Below it a copy costs more than it saves. */
const LONG_TEXT = 4096

/**
 * ioredis measures a text, joins it with its frame, and encodes the whole; for a job of some 100 KB that took a sixth of
 * all that an enqueue costs. Bytes are copied once.
 */
function sendLongTextAsBytes(client: Redis): void {
  const sendCommand = client.sendCommand.bind(client)
  client.sendCommand = (command, stream) => {
    const { args } = command
    for (let index = 0; index < args.length; index += 1) {
      const argument = args[index]
      if (typeof argument === 'string' && argument.length > LONG_TEXT) args[index] = Buffer.from(argument)
    }
    return sendCommand(command, stream)
  }
}

/** BullMQ blocks on a copy of the connection it is given, and keeps that to itself. */
function rememberCopies(client: Redis, onCopy: (copy: Redis) => void): readonly Redis[] {
  const copies: Redis[] = []
  const duplicate = client.duplicate.bind(client)
  client.duplicate = (...args) => {
    const copy = duplicate(...args)
    onCopy(copy)
    copies.push(copy)
    return copy
  }
  return copies
}

export type PatientConnection = {
  readonly client: Redis
  /** Lets it and every copy of it go at once: one that tries for ever to connect again would keep the process alive. */
  readonly disconnect: () => void
}

/**
 * A connection that waits: for a worker, which has nothing better to do while Redis is away.
 *
 * Commands are kept and sent again after a reconnect; BullMQ's are safe to repeat.
 */
export function patientConnection(redisUrl: string, onRefused: () => void): PatientConnection {
  const client = new Redis({
    ...serverOptions(redisUrl),
    ...both,
    maxRetriesPerRequest: null,
    // The longest command blocks for 5 s on purpose (a fetch); silence well beyond that is a dead peer.
    socketTimeout: 8000,
    // 2 = send the refused command again after reconnecting: a fail-over uses up nobody's attempt.
    reconnectOnError: (error) => (isDemoted(error) ? 2 : false),
  })
  insistOnDatabase(client, onRefused)
  workWithoutMemory(client)
  const copies = rememberCopies(client, (copy) => insistOnDatabase(copy, onRefused))
  // BullMQ listens while it uses the connection; without any listener ioredis writes to the console.
  client.on('error', () => {})
  return {
    client,
    disconnect() {
      for (const each of [client, ...copies]) each.disconnect()
    },
  }
}

/** BullMQ's scripts for taking and keeping jobs, by the name that it gives them. */
const CONSUMING_SCRIPTS = /^(moveToActive|moveStalledJobsToWait|extendLocks):/

/** None of BullMQ's own lists and sets expires; the command suits every type of key. */
const NO_OP_WRITE = "redis.call('PERSIST', KEYS[1])"

/**
 * Lets a consumer take jobs from a Redis that is full of them.
 *
 * Past `maxmemory` Redis refuses a script at the first write that needs memory; BullMQ's fetch begins with one, so a
 * consumer that starts then could never make room by settling what is there (tried: stuck for ever). A script that has
 * written something already is let through to its end; here it begins with a write that changes nothing.
 *
 * @see https://redis.io/docs/latest/develop/programmability/eval-intro/ ("Handling of out of memory")
 */
function workWithoutMemory(client: Redis): void {
  const defineCommand = client.defineCommand.bind(client)
  client.defineCommand = (name, definition) => {
    const isConsuming = CONSUMING_SCRIPTS.test(name)
    defineCommand(name, isConsuming ? { ...definition, lua: `${NO_OP_WRITE}\n${definition.lua}` } : definition)
  }
}

/** Whether an attempt to connect is under way whose outcome may be awaited. */
function isConnecting(client: Redis): boolean {
  return client.status === 'connecting' || client.status === 'connect'
}

/** Resolves once the attempt to connect that is under way has ended, or `signal` is aborted. */
export async function connected(client: Redis, signal: AbortSignal): Promise<void> {
  if (!isConnecting(client)) return
  await new Promise<void>((resolve) => {
    const stop = () => {
      signal.removeEventListener('abort', stop)
      client.off('ready', stop).off('close', stop)
      resolve()
    }
    signal.addEventListener('abort', stop)
    client.on('ready', stop).on('close', stop)
    if (signal.aborted) stop()
  })
}

/** The one queue of this service; its name is spelt here and nowhere else. */
export const QUEUE_NAME = 'persona-events'

/** First part of every Redis key of the queue; BullMQ's own default, changed by tests that share a server. */
export const DEFAULT_PREFIX = 'bull'

/** BullMQ's own spans of jobs, where tracing is on. */
export function telemetry(isTraced: boolean | undefined): Pick<QueueOptions, 'telemetry'> {
  return isTraced === true ? { telemetry: new BullMQOtel({ tracerName: 'persona-ingest' }) } : {}
}

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
