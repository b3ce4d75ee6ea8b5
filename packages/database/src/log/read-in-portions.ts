import { keepPrepared, type SqlExecutor } from '../sql/executor.ts'

/** An event of the log and its size in bytes: compressed as it is stored, or of its text. */
export type EventSize = { readonly id: string; readonly bytes: number }

/** Small enough that a chunk's transaction takes a fraction of a second. */
const MAX_EVENTS = 250
const MAX_BYTES = 1_000_000

/** Cuts events into chunks by their size. An event that is larger than a chunk forms its own. */
export function* eventChunks(events: readonly EventSize[], maxBytes = MAX_BYTES): Generator<readonly string[]> {
  let chunk: string[] = []
  let bytes = 0
  for (const event of events) {
    if (chunk.length > 0 && (chunk.length >= MAX_EVENTS || bytes + event.bytes > maxBytes)) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(event.id)
    bytes += event.bytes
  }
  if (chunk.length > 0) yield chunk
}

/** Payload text of one read: one event of the largest size, or some hundreds of usual ones. */
const MAX_TEXT_BYTES = 2_100_000

/**
 * Gives the statement of {@link readInPortions}, which selects events by id. Only the text shows the size of a payload,
 * since stored payloads are compressed, similar objects to a tenth and less.
 */
export function portionSql(columns: string, condition = 'true'): string {
  return keepPrepared(`
SELECT ${columns}, text_bytes AS bytes, CASE WHEN through <= ${MAX_TEXT_BYTES} OR through = text_bytes THEN text END AS payload
FROM (
  SELECT events.*, text, octet_length(text) AS text_bytes, sum(octet_length(text)) OVER (ORDER BY id) AS through
  FROM public.events, LATERAL (SELECT events.payload::text AS text OFFSET 0) AS spelt
  WHERE id = ANY($1::text[]) AND ${condition}
) AS measured`)
}

type PortionRow = EventSize & { readonly payload: string | null }

/**
 * Reads events in portions whose parsed payloads fit into memory; small objects take some 35 times their text. A payload
 * that does not fit comes as a size alone, and a later portion reads it.
 */
export async function* readInPortions<Row extends { readonly payload: string }>(
  executor: SqlExecutor,
  sql: string,
  ids: readonly string[],
): AsyncGenerator<readonly Row[]> {
  const portions: (readonly string[])[] = [ids]
  for (let portion = portions.pop(); portion !== undefined; portion = portions.pop()) {
    const rows = await executor.query<PortionRow>(sql, [portion])
    const left = rows.filter(({ payload }) => payload === null)
    portions.push(...eventChunks(left, MAX_TEXT_BYTES))
    yield rows.filter(({ payload }) => payload !== null) as unknown as readonly Row[]
  }
}
