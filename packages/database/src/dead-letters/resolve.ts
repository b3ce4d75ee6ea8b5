import { readEnvelope, type Environment, type QuarantineReason } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { decryptBytes } from '../sql/row-values.ts'
import type { DeadLetterState } from './dead-letter.ts'
import { untilNoConflict } from './store-dead-letter.ts'
import { isAsReceived, pageOfBodiesSql, placeOfBody, storedBodyColumns, type StoredBodyRow } from './stored-body.ts'

/** Dead letters by ids, in any state, or all open ones, of one reason where it is given. */
export type DeadLetterSelection = { readonly ids: readonly string[] } | { readonly reason: string | null }

/** SQL: a condition with the two parameters of {@link selectionParameters} at `$1` and `$2`. */
const selectedDeadLettersSql = `(
  CASE WHEN $1::text[] IS NOT NULL THEN dead_letters.id = ANY($1::text[]::bigint[])
  ELSE dead_letters.state = 'open' AND ($2::text IS NULL OR dead_letters.reason = $2::text) END)`

function selectionParameters(selection: DeadLetterSelection): readonly [string[] | null, string | null] {
  return 'ids' in selection ? [selection.ids.map((id) => String(BigInt(id))), null] : [null, selection.reason]
}

/** The verdict about the replay of a dead letter. */
export type DeadLetterVerdict =
  /** Its bytes are a usable event, to be enqueued as a delivery. */
  | {
      readonly verdict: 'usable'
      readonly eventId: string
      readonly environment: Environment
      readonly receivedAtMs: number
      readonly body: Uint8Array
    }
  /** Still no usable event. */
  | { readonly verdict: 'unusable'; readonly reason: QuarantineReason }
  /** A redaction has emptied it. */
  | { readonly verdict: 'erased' }
  /** Its event is already stored. */
  | { readonly verdict: 'replayed' }
  /** Another dead letter has the event's id. */
  | { readonly verdict: 'other-letter'; readonly deadLetterId: string }

export type ReplayableDeadLetter = { readonly id: string; readonly failedAt: Date } & DeadLetterVerdict

type StoredDeadLetterRow = StoredBodyRow & {
  readonly id: string
  readonly event_id: string | null
  readonly environment: Environment
  readonly received_at: Date
  readonly failed_at: Date
  readonly state: DeadLetterState
}

const PAGE = 20
const pageSql = pageOfBodiesSql(
  `id::text AS id, event_id, environment, ${storedBodyColumns}, received_at, failed_at, state`,
  `${selectedDeadLettersSql} AND dead_letters.id > $3::text::bigint`,
  PAGE,
)

/** Gives a quarantined dead letter the event id that is readable now, so that the stored event resolves it. */
const adoptSql = `
UPDATE dead_letters SET event_id = $2 WHERE id = $1::text::bigint AND event_id IS NULL
  AND NOT EXISTS (SELECT FROM dead_letters other WHERE other.event_id = $2)`
const otherSql = 'SELECT id::text AS id FROM dead_letters WHERE event_id = $1 AND id <> $2::text::bigint'

function judge(deadLetter: StoredDeadLetterRow, nowMs: number): DeadLetterVerdict {
  if (deadLetter.state === 'replayed') return { verdict: 'replayed' }
  const { environment, body } = deadLetter
  // An event from the future may be usable by now.
  for (const receivedAtMs of [deadLetter.received_at.getTime(), nowMs]) {
    const envelope = readEnvelope(body, receivedAtMs)
    if (envelope.ok) return { verdict: 'usable', eventId: envelope.eventId, environment, receivedAtMs, body }
    if (receivedAtMs !== nowMs) continue
    return isAsReceived(deadLetter, body) ? { verdict: 'unusable', reason: envelope.reason } : { verdict: 'erased' }
  }
  throw new Error('Expected a verdict about the dead letter by the second time at the latest')
}

async function withEventId(
  database: Database,
  row: StoredDeadLetterRow,
  verdict: DeadLetterVerdict,
): Promise<DeadLetterVerdict> {
  if (verdict.verdict !== 'usable' || row.event_id !== null) return verdict
  // Two simultaneous statements do not see each other's event id.
  const adopted = await untilNoConflict(async () =>
    database.prisma.$executeRawUnsafe(adoptSql, row.id, verdict.eventId),
  )
  if (adopted > 0) return verdict
  const [other] = await database.prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(
    otherSql,
    verdict.eventId,
    row.id,
  )
  return other === undefined ? verdict : { verdict: 'other-letter', deadLetterId: other.id }
}

/**
 * Reads selected dead letters with their verdicts, oldest first, up to 20 behind the id `after` (`'0'`: from the start). An
 * empty page is the end. A quarantined body is read again, since a newer program may find it usable.
 */
export async function readReplayableDeadLetters(
  database: Database,
  selection: DeadLetterSelection,
  page: { readonly after: string; readonly nowMs: number },
): Promise<readonly ReplayableDeadLetter[]> {
  const rows = await database.prisma.$queryRawUnsafe<readonly StoredDeadLetterRow[]>(
    pageSql,
    ...selectionParameters(selection),
    page.after,
  )
  const deadLetters: ReplayableDeadLetter[] = []
  const keys = database.keys
  for (const stored of rows) {
    const row = { ...stored, body: decryptBytes(stored.body, placeOfBody(stored.body_sha256), keys) }
    const verdict = await withEventId(database, row, judge(row, page.nowMs))
    deadLetters.push({ id: row.id, failedAt: row.failed_at, ...verdict })
  }
  return deadLetters
}

/** The state of a dead letter after its replay was enqueued. */
export type DeadLetterProgress = 'replayed' | 'failed-again' | 'under-way'

const progressSql = `
SELECT dead_letters.id::text AS id,
  CASE WHEN state = 'replayed' THEN 'replayed' WHEN dead_letters.failed_at > sent.failed_at THEN 'failed-again' ELSE 'under-way' END
    AS progress
FROM unnest($1::text[], $2::text[]::timestamptz[]) AS sent(id, failed_at) JOIN dead_letters ON dead_letters.id = sent.id::bigint`

/** Reads the progress of replayed dead letters, each given with its earlier `failed_at`. */
export async function readReplayProgress(
  database: Database,
  deadLetters: readonly { readonly id: string; readonly failedAt: Date }[],
): Promise<ReadonlyMap<string, DeadLetterProgress>> {
  const rows = await database.prisma.$queryRawUnsafe<
    readonly { readonly id: string; readonly progress: DeadLetterProgress }[]
  >(
    progressSql,
    deadLetters.map(({ id }) => id),
    deadLetters.map(({ failedAt }) => failedAt.toISOString()),
  )
  return new Map(rows.map(({ id, progress }) => [id, progress]))
}

export type DiscardResult = {
  readonly discarded: number
  /** Selected by id, and discarded or replayed before. */
  readonly notOpen: readonly string[]
  /** Selected by id, and not stored. */
  readonly missing: readonly string[]
}

const discardSql = `
UPDATE dead_letters SET state = 'discarded', resolved_at = clock_timestamp()
WHERE id IN (SELECT id FROM dead_letters WHERE ${selectedDeadLettersSql} AND state = 'open' LIMIT 1000)
RETURNING id::text AS id`

const knownSql = `SELECT id::text AS id FROM dead_letters WHERE dead_letters.id = ANY($1::text[]::bigint[])`

/**
 * Marks open dead letters as discarded. Their bytes stay until a prune, and a redelivery or a replay still processes them.
 * Safe to repeat.
 */
export async function discardDeadLetters(database: Database, selection: DeadLetterSelection): Promise<DiscardResult> {
  const discarded = new Set<string>()
  for (;;) {
    const parameters = selectionParameters(selection)
    const rows = await database.prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(discardSql, ...parameters)
    for (const { id } of rows) discarded.add(id)
    if (rows.length === 0) break
  }
  if (!('ids' in selection)) return { discarded: discarded.size, notOpen: [], missing: [] }
  const ids = [...new Set(selection.ids.map((id) => String(BigInt(id))))]
  const found = await database.prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(knownSql, ids)
  const known = new Set(found.map(({ id }) => id))
  return {
    discarded: discarded.size,
    notOpen: ids.filter((id) => known.has(id) && !discarded.has(id)),
    missing: ids.filter((id) => !known.has(id)),
  }
}
