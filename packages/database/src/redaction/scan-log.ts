import type { Environment, PersonaEvent } from '@persona-ingest/persona'
import { readDeadLetter } from '../dead-letters/dead-letter.ts'
import { pageOfBodiesSql, placeOfBody } from '../dead-letters/stored-body.ts'
import { isNoEvent, tryReading, type StoredEventRow } from '../log/stored-event.ts'
import { decryptBytes } from '../sql/row-values.ts'
import { decryptOrReport, type SqlExecutor } from '../sql/executor.ts'

/** Small enough that each statement ends well within its timeout at any size of the log. */
const EVENTS_PER_PAGE = 2_000
const DEAD_LETTERS_PER_PAGE = 100
/** Per page, as stored. */
const BYTES_PER_PAGE = 4_000_000

export type ScanProgress = { readonly scannedEvents: number }

/**
 * Pages of the log by primary key, with the payload only where it contains one of the words, spelt as by jsonb. Encrypted
 * payloads always come along.
 */
const eventsPageSql = `
WITH measured AS (
  SELECT id, payload, environment, received_at, sum(pg_column_size(payload)) OVER (ORDER BY id) - pg_column_size(payload) AS before
  FROM events WHERE id > $1 ORDER BY id LIMIT ${EVENTS_PER_PAGE}
), page AS (SELECT * FROM measured WHERE before < ${BYTES_PER_PAGE})
SELECT id, environment, (extract(epoch FROM received_at) * 1000)::float8 AS "receivedAtMs", CASE WHEN jsonb_typeof(payload) = 'string' OR EXISTS (
  SELECT FROM unnest($2::text[]) AS word WHERE strpos(payload::text, trim(both '"' from to_jsonb(word)::text)) > 0
) THEN payload::text END AS payload FROM page ORDER BY id`

const deadLettersPageSql = pageOfBodiesSql(
  'id::text AS id, environment, body, body_sha256, received_at',
  'dead_letters.id > $1::text::bigint',
  DEAD_LETTERS_PER_PAGE,
)

type LoggedEvent = Omit<StoredEventRow, 'payload'> & { readonly payload: string | null }
type StoredDeadLetter = {
  readonly id: string
  readonly environment: Environment
  readonly received_at: Date
  readonly body: Uint8Array
  readonly body_sha256: Uint8Array
}

/**
 * Reads every stored event that contains one of the words. An event that was changed by hand and is no event any more is
 * left out; it is erased with the objects that its row names.
 */
export async function* eventsWithWords(
  executor: SqlExecutor,
  words: readonly string[],
  onProgress: (progress: ScanProgress) => void,
): AsyncGenerator<PersonaEvent> {
  let scannedEvents = 0
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: readonly LoggedEvent[] = await executor.query<LoggedEvent>(eventsPageSql, [after, words])
    for (const { payload, ...row } of page) {
      const read = (text: string) => tryReading({ ...row, payload: text }, executor.keys, isNoEvent)
      const place = { table: 'events', id: row.id } as const
      const event = payload === null ? null : decryptOrReport(executor, place, () => read(payload))
      if (event !== null) yield event
    }
    scannedEvents += page.length
    onProgress({ scannedEvents })
    after = page.at(-1)?.id
  }
}

/** Reads every dead letter, as an event or as bytes. */
export async function* allDeadLetters(
  executor: SqlExecutor,
): AsyncGenerator<{ readonly id: string; readonly event: PersonaEvent | null; readonly body: Uint8Array }> {
  for (let after: string | undefined = '0'; after !== undefined;) {
    const page: readonly StoredDeadLetter[] = await executor.query<StoredDeadLetter>(deadLettersPageSql, [after])
    for (const { id, environment, body: stored, body_sha256: sha256, received_at: receivedAt } of page) {
      const decrypt = () => decryptBytes(stored, placeOfBody(sha256), executor.keys)
      const body = decryptOrReport(executor, { table: 'dead_letters', id }, decrypt)
      if (body === null) continue
      yield { id, event: readDeadLetter({ body, environment, receivedAtMs: receivedAt.getTime() }), body }
    }
    after = page.at(-1)?.id
  }
}
