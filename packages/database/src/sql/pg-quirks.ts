/*
 * Every use and change of the inside of pg, checked on 8.23.1. `test/integration/pg-quirks.test.ts` shows how pg behaves
 * without each.
 */
import { Client, type QueryResult } from 'pg'

type AnyQuery = (...parameters: unknown[]) => Promise<unknown> | undefined

/**
 * Closes a connection at once. `end()` waits for the server, and a server that does not answer never closes its side.
 *
 * @see https://github.com/brianc/node-postgres/issues/1244
 */
export function destroy(client: Client): void {
  client.connection.stream.destroy()
}

/**
 * The process that the server names when it opens a connection. The types of pg lack it.
 *
 * @see https://github.com/brianc/node-postgres/issues/2665
 */
export function firstProcessOf(client: Client): number | null {
  return (client as unknown as { readonly processID: number | null }).processID
}

/**
 * The results of a text of several statements, which pg gives as a list. The types of pg declare a single result.
 *
 * @see https://github.com/brianc/node-postgres/issues/3121
 */
export function resultsOf<Row extends object>(result: QueryResult<Row>): readonly QueryResult<Row>[] {
  return [result].flat()
}

/**
 * A connection that closes when a statement of it exceeds `query_timeout`.
 *
 * pg keeps it open, and each statement after it waits as long again. Prisma's ROLLBACK did, so that an outage during a
 * redaction was reported after twice the time.
 *
 * @see https://github.com/brianc/node-postgres/issues/3399
 */
export class ClientClosedOnTimeout extends Client {
  #closeOnTimeout(error: unknown): void {
    // This error of pg has no code.
    if (error instanceof Error && error.message === 'Query read timeout') destroy(this)
  }

  // pg declares eight signatures: with a callback as the last parameter, or with a promise.
  override query = ((...parameters: unknown[]) => {
    const query: AnyQuery = Client.prototype.query.bind(this)
    const callback = parameters.at(-1)
    if (typeof callback === 'function') {
      const onResult = (error: unknown, result: unknown) => {
        this.#closeOnTimeout(error)
        ;(callback as (error: unknown, result: unknown) => void)(error, result)
      }
      return query(...parameters.slice(0, -1), onResult)
    }
    const result = query(...parameters)
    result?.catch((error: unknown) => this.#closeOnTimeout(error))
    return result
  }) as unknown as Client['query']
}
