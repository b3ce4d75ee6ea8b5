import {
  beginConsumer,
  type BatchClient,
  ChangeCursorMovedError,
  failureOf,
  holdReading,
  keepAllRows,
  leaveReading,
  takeChanges,
  type ChangeFamily,
  type Database,
} from '@persona-ingest/database'
import type { Logger } from '@persona-ingest/service'
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { FeedSource } from './feed-source.ts'
import type { NotifierMetrics } from './metrics.ts'
import type { DatabaseOutage } from './outages.ts'

export type FollowOptions = {
  readonly database: Database
  readonly source: FeedSource
  readonly consumer: string
  readonly from: 'now' | 'start'
  readonly families: readonly ChangeFamily[]
  readonly metrics: NotifierMetrics
  readonly logger: Logger
  readonly outage: DatabaseOutage
  /** Called with objects that are to be sent now. */
  readonly onDue: (objectIds: readonly string[]) => void
}

/** A process that died is replaced after this time. */
const HOLD_MS = 5_000
const RENEW_EVERY_MS = 1_500
const RETRY_MS = 500

const isExpiry = (error: unknown): boolean =>
  (error as { readonly code?: unknown } | null)?.code === 'PERSONA_CURSOR_EXPIRED'

/**
 * Reads the feed for a consumer while no other process does. Changes are kept in PostgreSQL together with the cursor, so that
 * nothing is lost or sent twice.
 */
export class FeedFollower {
  readonly #options: FollowOptions
  readonly #holder = randomUUID()
  readonly #stopping = new AbortController()
  #isReading = false
  #running: Promise<void> = Promise.resolve()

  constructor(options: FollowOptions) {
    this.#options = options
  }

  /** Whether this process reads. */
  get isReading(): boolean {
    return this.#isReading
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Ends after the batch in work, and lets another process read. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { database, consumer } = this.#options
    while (!this.#stopping.signal.aborted) await this.#round()
    await leaveReading(database, { consumer, holder: this.#holder }).catch(() => undefined)
  }

  async #round(): Promise<void> {
    const { logger, outage } = this.#options
    try {
      if (await this.#hold()) await this.#readWhileHeld()
      else await this.#pause()
    } catch (error) {
      if (this.#stopping.signal.aborted || error instanceof ChangeCursorMovedError) return
      if (isExpiry(error)) return await this.#resync()
      if (failureOf(error).kind === 'unclear') logger.error({ err: error }, 'the change feed could not be read')
      outage.note(error)
      await this.#pause()
    }
  }

  async #pause(): Promise<void> {
    await pause(RETRY_MS, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
  }

  async #hold(): Promise<boolean> {
    const { database, consumer } = this.#options
    return await holdReading(database, { consumer, holder: this.#holder, holdMs: HOLD_MS })
  }

  async #readWhileHeld(): Promise<void> {
    const lost = new AbortController()
    const renew = async (): Promise<void> => {
      if (!(await this.#hold())) lost.abort()
    }
    const timer = setInterval(() => void renew().catch(() => undefined), RENEW_EVERY_MS)
    this.#isReading = true
    try {
      await this.#read(AbortSignal.any([lost.signal, this.#stopping.signal]))
    } finally {
      this.#isReading = false
      clearInterval(timer)
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { database, source, consumer, from, families, outage, onDue } = this.#options
    const wanted: ReadonlySet<string> = new Set(families)
    let cursor = await beginConsumer(database, consumer, from)
    for await (const batch of source.changes({ consumer, from, signal })) {
      const changes = batch.changes.filter(({ family }) => wanted.has(family))
      const commit = async (client: BatchClient) => await batch.commit(client)
      const taken = await takeChanges(database, { consumer, cursor, batch: { changes, commit } })
      cursor = taken.cursor
      outage.end()
      onDue(taken.dueIds)
    }
  }

  async #resync(): Promise<void> {
    const { database, consumer, families, metrics, logger, outage } = this.#options
    metrics.resyncs.inc()
    logger.error({ consumer, families }, 'cursor expired: every row is sent, since nobody can tell what was missed')
    try {
      const rows = await keepAllRows(database, { consumer, families })
      logger.warn({ consumer, rows }, 'every row is kept for sending, the feed is read on')
    } catch (error) {
      outage.note(error)
      await this.#pause()
    }
  }
}
