import { failureOf } from '@persona-ingest/database'
import type { Logger } from '@persona-ingest/service'

/** Tells in the log when the database goes away and when it answers again, once each. */
export class DatabaseOutage {
  readonly #logger: Logger
  #isOut = false

  constructor(logger: Logger) {
    this.#logger = logger
  }

  note(error: unknown): void {
    const { description } = failureOf(error)
    if (!this.#isOut) this.#logger.warn({ description }, 'database does not answer, notifications wait until it does')
    this.#isOut = true
  }

  end(): void {
    if (this.#isOut) this.#logger.info('database answers again')
    this.#isOut = false
  }
}
