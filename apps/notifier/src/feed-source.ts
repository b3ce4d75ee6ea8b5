import type { BatchClient, Change } from '@persona-ingest/database'
import { openReader } from '@persona-ingest/reader'
import type { Logger } from '@persona-ingest/service'

/** A batch of the feed, as a reader gives it. */
export type FeedBatch = {
  readonly changes: readonly Change[]
  /** Moves the cursor in the transaction of the client. */
  commit(client: BatchClient): Promise<void>
}

/** The part of a reader that is used here. */
export interface FeedSource {
  changes(options: {
    readonly consumer: string
    readonly from: 'now' | 'start'
    readonly signal: AbortSignal
  }): AsyncIterable<FeedBatch>
  close(): Promise<void>
}

/** Opens the change feed. It waits while PostgreSQL is away, and never throws for that. */
export function openFeedSource({ url, logger }: { readonly url: string; readonly logger: Logger }): FeedSource {
  const reader = openReader({
    url,
    onOutage: (error) => logger.debug({ err: error }, 'the change feed waits for the database'),
  })
  return { changes: (options) => reader.changes(options), close: async () => await reader.close() }
}
