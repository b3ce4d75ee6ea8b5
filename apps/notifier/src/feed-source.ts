import { openDatabase, sqlStateOf, type BatchClient, type Change } from '@persona-ingest/database'

/** A batch of the feed, as `@persona-ingest/reader` gives it. */
export type FeedBatch = {
  readonly tick: bigint
  readonly changes: readonly Change[]
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

/** A stand-in. */
export function openFeedSource({ url }: { readonly url: string }): FeedSource {
  const database = openDatabase({ url, encryptionKeys: [], connections: 1 })
  const ask = async <Row>(sql: string, ...values: unknown[]) => await database.sql.query<Row>(sql, values)
  return {
    async *changes({ consumer, signal }) {
      const [start] = await ask<{ tick: string }>('SELECT tick::text FROM change_consumers WHERE name = $1', consumer)
      let at = start?.tick ?? '0'
      while (!signal.aborted) {
        const [latest] = await ask<{ tick: string }>('SELECT latest_change_tick()::text AS tick')
        const tick = latest?.tick ?? '0'
        const rows = await ask<Record<string, never>>('SELECT family, object_id AS "objectId", inquiry_id AS "inquiryId", version::text AS version, cause, event_id AS "eventId", status, previous_status AS "previousStatus", changed_at AS "changedAt" FROM changes_between($1::text::bigint, $2::text::bigint)', at, tick).catch((error: unknown) => { throw sqlStateOf(error) === 'PX001' ? Object.assign(new Error('expired'), { code: 'PERSONA_CURSOR_EXPIRED' }) : error }) // prettier-ignore
        at = tick
        const changes = rows.map((row) => ({ ...row, version: BigInt(row['version'] ?? 0) })) as unknown as Change[]
        if (changes.length > 0)
          yield { tick: BigInt(tick), changes, commit: async (client) => void (await client.query('UPDATE change_consumers SET tick = $2::text::bigint WHERE name = $1', [consumer, tick])) } // prettier-ignore
        else await new Promise((resolve) => setTimeout(resolve, 100))
      }
    },
    close: async () => await database.close(),
  }
}
