import { Client } from 'pg'

type Callback = (error: unknown, result: unknown) => void
type AnyQuery = (...parameters: unknown[]) => Promise<unknown> | undefined

/** What pg says, with no code, when `query_timeout` is over. */
function isUnanswered(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout'
}

/**
 * A connection that ends itself when a statement of it was not answered in time.
 *
 * pg leaves it open, and whatever follows on it waits as long again: Prisma's ROLLBACK after a statement, for which an
 * outage under a redaction was told only after twice the time.
 */
export class AnsweringClient extends Client {
  #endIfUnanswered(error: unknown): void {
    if (isUnanswered(error))
      (this as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  }

  // pg has eight signatures for it, all with a callback at the end or a promise.
  override query = ((...parameters: unknown[]) => {
    const query = Client.prototype.query.bind(this) as unknown as AnyQuery
    const callback = parameters.at(-1)
    if (typeof callback === 'function') {
      const told: Callback = (error, result) => {
        this.#endIfUnanswered(error)
        ;(callback as Callback)(error, result)
      }
      return query(...parameters.slice(0, -1), told)
    }
    const result = query(...parameters)
    result?.catch((error: unknown) => this.#endIfUnanswered(error))
    return result
  }) as unknown as Client['query']
}
