import { queueUnavailable, QueueUnavailableError } from './queue-unavailable-error.ts'

/** Tells an operation that nobody waits for it any more. */
export type Deadline = { readonly isOver: boolean; readonly leftMs: number }

/**
 * Awaits an operation on Redis, for `deadlineMs` at most.
 *
 * Rejects with a `QueueUnavailableError`, `QUEUE_TOO_SLOW` past the deadline. What the operation does later, also a
 * rejection, is nobody's concern then.
 */
export async function within<T>(deadlineMs: number, operation: (deadline: Deadline) => Promise<T>): Promise<T> {
  const endsAt = performance.now() + deadlineMs
  const deadline: Deadline = {
    get isOver() {
      return performance.now() >= endsAt
    },
    get leftMs() {
      return Math.max(0, endsAt - performance.now())
    },
  }
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new QueueUnavailableError('QUEUE_TOO_SLOW')), deadlineMs)
  })
  try {
    return await Promise.race([operation(deadline), expiry])
  } catch (error) {
    throw queueUnavailable(error)
  } finally {
    clearTimeout(timer)
  }
}
