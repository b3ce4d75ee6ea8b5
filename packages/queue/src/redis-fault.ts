/**
 * An error of Redis, ioredis or BullMQ without what came with it.
 *
 * ioredis hangs the whole command on its errors (`error.command.args`), and the arguments of an enqueue are a person's
 * data. Name, message, code and stack are the libraries' own words.
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

/** Whether this error is a reply of Redis (as against a lost connection, a timeout, or an error of our own). */
export function isRedisReply(thrown: unknown): thrown is Error {
  return thrown instanceof Error && thrown.name === 'ReplyError'
}
