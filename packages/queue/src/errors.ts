import { CodedError, DeadlineExceededError } from '@persona-ingest/core'

/** Every reason for which the queue can't take a delivery now, with the words for the person on call. */
export const queueFaults = {
  QUEUE_UNREACHABLE: 'Redis could not be reached; check REDIS_URL and that Redis runs',
  QUEUE_TOO_SLOW: 'Redis did not confirm in time; check its load, its disk and the network',
  QUEUE_FULL: 'Redis is out of memory; raise maxmemory, or let the worker drain the queue',
  QUEUE_REFUSED: 'Redis refused the write; see the cause',
  QUEUE_DATABASE_REFUSED:
    'Redis refuses the database number in REDIS_URL; it has fewer databases, is a Cluster, or its ACL forbids SELECT',
  QUEUE_CLOSED: 'The queue was closed by this process',
} as const
export type QueueFault = keyof typeof queueFaults

/** Whether this error is a reply of Redis, as against a lost connection, a timeout, or an error of this program. */
export function isRedisReply(thrown: unknown): thrown is Error {
  return thrown instanceof Error && thrown.name === 'ReplyError'
}

/**
 * Gives an error of Redis, ioredis or BullMQ without what is attached to it.
 *
 * ioredis attaches the whole command (`error.command.args`), and the arguments of an enqueue are personal data. Name,
 * message, code and stack are the libraries' own words.
 */
export function redisFault(thrown: unknown): Error {
  if (!(thrown instanceof Error)) return new Error('Redis failed with something that is no error')
  // Node.js reports a failed connection to several addresses as an AggregateError with an empty message.
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined
  const fault = new Error(thrown.message === '' ? (code ?? thrown.name) : thrown.message)
  fault.name = thrown.name
  if (thrown.stack !== undefined) fault.stack = thrown.stack
  return code === undefined ? fault : Object.assign(fault, { code })
}

/** The first word of a reply of Redis, or the code of Node.js or OpenSSL; no personal data has that form. */
function codeOf(cause: Error): string | null {
  if ('code' in cause && typeof cause.code === 'string' && /^[\w.-]{1,64}$/.test(cause.code)) return cause.code
  return isRedisReply(cause) ? (/^[A-Z]+(?= )/.exec(cause.message)?.[0] ?? null) : null
}

/**
 * Tells that the queue can't be used now; the same call may succeed later.
 *
 * `code`: one of {@link queueFaults}. `cause` never holds a payload; the message ends with its code.
 *
 * @see docs/errors.md
 */
export class QueueUnavailableError extends CodedError<QueueFault> {
  override readonly name = 'QueueUnavailableError'
  /** Such as `ENOTFOUND`, `SELF_SIGNED_CERT_IN_CHAIN` or `WRONGPASS`; null where it is not known. */
  readonly causeCode: string | null

  constructor(code: QueueFault, cause?: Error) {
    const causeCode = cause === undefined ? null : codeOf(cause)
    const suffix = causeCode === null ? '' : ` (${causeCode})`
    super(code, `${queueFaults[code]}${suffix}`, cause === undefined ? undefined : { cause })
    this.causeCode = causeCode
  }
}

/** Turns what a call of Redis threw, or an exceeded deadline, into a `QueueUnavailableError`. */
export function queueUnavailable(thrown: unknown): QueueUnavailableError {
  if (thrown instanceof QueueUnavailableError) return thrown
  if (thrown instanceof DeadlineExceededError) return new QueueUnavailableError('QUEUE_TOO_SLOW')
  const fault = redisFault(thrown)
  if (isRedisReply(thrown)) {
    return new QueueUnavailableError(fault.message.startsWith('OOM') ? 'QUEUE_FULL' : 'QUEUE_REFUSED', fault)
  }
  const isTimeout = fault.message.startsWith('Socket timeout')
  return new QueueUnavailableError(isTimeout ? 'QUEUE_TOO_SLOW' : 'QUEUE_UNREACHABLE', fault)
}
