import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'

/** The measure's grain. Each question costs PostgreSQL and this process, beside what is measured. */
const ASK_EVERY_MS = 5
const GIVE_UP_AFTER_MS = 30_000

/** Asks for events until a query finds them: from the answer of the ingress to a row that can be queried. */
export class RowLookup {
  readonly #client: Client
  readonly #found = createHistogram()
  readonly #waiting = new Map<string, number>()
  readonly #asking: Promise<void>
  #isOver = false

  constructor(databaseUrl: string) {
    this.#client = new Client({ connectionString: databaseUrl })
    this.#asking = this.#ask()
  }

  watch(eventId: string, answeredAt: number): void {
    this.#waiting.set(eventId, answeredAt)
  }

  /** Resolves to the times in microseconds, once all are found. */
  async end(): Promise<RecordableHistogram> {
    this.#isOver = true
    await this.#asking
    return this.#found
  }

  async #ask(): Promise<void> {
    await this.#client.connect()
    while (!this.#isOver || this.#waiting.size > 0) {
      if (this.#waiting.size > 0) await this.#askOnce()
      await pause(ASK_EVERY_MS)
    }
    await this.#client.end()
  }

  async #askOnce(): Promise<void> {
    const { rows } = await this.#client.query<{ id: string }>({
      name: 'found',
      text: 'SELECT id FROM events WHERE id = ANY($1)',
      values: [[...this.#waiting.keys()]],
    })
    const now = performance.now()
    for (const { id } of rows) {
      this.#found.record(Math.max(1, Math.round((now - (this.#waiting.get(id) ?? now)) * 1000)))
      this.#waiting.delete(id)
    }
    const [oldest] = this.#waiting.values()
    if (oldest !== undefined && now - oldest > GIVE_UP_AFTER_MS) throw new Error('An acknowledged event was not stored')
  }
}
