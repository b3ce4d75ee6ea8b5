import { readEnvelope, type Environment } from '@persona-ingest/persona'
import pLimit from 'p-limit'
import type { Database } from '../database.ts'
import { storedErasureLookup } from '../log/stored-erasures.ts'
import { decryptBytes, DecryptionError, isoTime } from '../sql/row-values.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import { isUniqueViolation, sqlStateOf } from '../sql/failure.ts'

import { inSharedWrite } from '../sql/write-transactions.ts'
import { isEmptied, objectIdsOf, redactDeadLetterBody, type DeadLetter } from './dead-letter.ts'
import {
  bodyAssignments,
  bodyParameters,
  isOlderRowSql,
  lockBytes,
  placeOfBody,
  plainDigest,
  possibleDigests,
  readDigestKey,
  storedBodyColumns,
  type StoredBodyRow,
} from './stored-body.ts'

/** A conflict passes when the write is tried again. */
const MAX_TRIES = 5

/** Workers of older versions take no lock, and PostgreSQL may end one of two transactions in conflict. */
function isPassing(error: unknown): boolean {
  return isUniqueViolation(error, 'dead_letters') || ['40001', '40P01'].includes(sqlStateOf(error) ?? '')
}

/** Repeats a write of dead letters that conflicts with another one. */
export async function untilNoConflict<T>(write: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await write()
    } catch (error) {
      if (!isPassing(error) || tries >= MAX_TRIES) throw error
    }
  }
}

type StoredRow = StoredBodyRow & {
  readonly id: string
  readonly environment: Environment
  readonly attempts: number
  readonly received_at: Date
}

const findByEventSql = `
SELECT id::text AS id, environment, attempts, received_at, ${storedBodyColumns} FROM dead_letters
WHERE event_id = $1 FOR UPDATE`

const findByBytesSql = `
SELECT id::text AS id FROM dead_letters WHERE event_id IS NULL AND (
  body_digest IN (SELECT decode(digest, 'hex') FROM unnest($1::text[]) AS digest)
  OR (body_sha256 = $2::bytea AND ${isOlderRowSql}))
ORDER BY dead_letters.id LIMIT 1 FOR UPDATE`

/**
 * A reduced body has no digest, so a repeated delivery is found by its time of receipt and its reduced body. A row of an
 * older version has no digest either, and its body may be whole.
 */
const findReducedSql = `
SELECT id::text AS id, ${storedBodyColumns} FROM dead_letters
WHERE event_id IS NULL AND body_digest IS NULL AND digest_of = body_sha256 AND received_at = $1::timestamptz
  AND reason = $2 AND environment = $3 AND object_ids = $4::text[]
ORDER BY dead_letters.id FOR UPDATE`

/** Whether another worker has stored the failed event meanwhile; it is then replayed. */
const isStoredSql = `(SELECT $5::int > 0 AND EXISTS (SELECT FROM events WHERE id = $6) AS is_stored) AS known`

const updateSql = `
UPDATE dead_letters SET environment = $1, reason = $2, error = $3, object_ids = $4::text[], attempts = $5::int,
  failed_at = clock_timestamp(), state = CASE WHEN is_stored THEN 'replayed' ELSE 'open' END,
  resolved_at = CASE WHEN is_stored THEN clock_timestamp() END, ${bodyAssignments(7)}
FROM ${isStoredSql} WHERE dead_letters.id = $11::text::bigint`

const insertSql = `
INSERT INTO dead_letters (event_id, environment, reason, error, object_ids, attempts, received_at, failed_at, state,
  resolved_at, body, body_sha256, digest_of, body_digest, digest_key_id)
SELECT $11::text, $1::text, $2::text, $3::text, $4::text[], $5::int, $12::timestamptz, clock_timestamp(),
  CASE WHEN is_stored THEN 'replayed' ELSE 'open' END, CASE WHEN is_stored THEN clock_timestamp() END,
  $7::bytea, $8::bytea, $8::bytea, $9::bytea, $10::text
FROM ${isStoredSql}`

/** Merges into a row without an event id that has the same bytes; it is open where one of the two was. */
const dropTwinSql = `
WITH gone AS (
  DELETE FROM dead_letters twin WHERE twin.id = $1::text::bigint AND EXISTS (
    SELECT FROM dead_letters other WHERE other.event_id IS NULL
      AND (other.body_digest = twin.body_digest OR other.body_sha256 = twin.body_sha256))
  RETURNING state, body_digest, body_sha256
)
UPDATE dead_letters other SET state = 'open', resolved_at = NULL FROM gone
WHERE gone.state = 'open' AND other.event_id IS NULL
  AND (other.body_digest = gone.body_digest OR other.body_sha256 = gone.body_sha256)`
const detachSql = 'UPDATE dead_letters SET event_id = NULL WHERE dead_letters.id = $1::text::bigint'

/** The row that a dead letter is written to. */
type Target = { readonly rowId: string } | { readonly rowId: null; readonly eventId: string | null }

type Writing = {
  readonly executor: SqlExecutor
  readonly deadLetter: DeadLetter
  /** The body to store. */
  readonly body: Uint8Array
  readonly isReduced: boolean
  readonly digestKey: Uint8Array
  readonly digests: readonly string[]
}

function createdAtMs(deadLetter: Pick<DeadLetter, 'body' | 'receivedAtMs'>): number | null {
  const envelope = readEnvelope(deadLetter.body, deadLetter.receivedAtMs)
  return envelope.ok ? envelope.createdAtMs : null
}

/** Null where no key decrypts the stored body, which must then stay. */
function decrypted(row: StoredBodyRow, executor: SqlExecutor): Uint8Array | null {
  try {
    return decryptBytes(row.body, placeOfBody(row.body_sha256), executor.keys)
  } catch (error) {
    if (error instanceof DecryptionError) return null
    throw error
  }
}

/**
 * Whether the dead letter may replace the row without loss: the row has the same bytes, a copy of the same event (by id and
 * `created-at`), or an emptied body.
 */
function mayReplace(row: StoredRow, { executor, deadLetter, digests }: Writing): boolean {
  const isSameEnvironment = row.environment === deadLetter.environment
  if (row.body_digest !== null && digests.includes(Buffer.from(row.body_digest).toString('hex')))
    return isSameEnvironment
  const body = decrypted(row, executor)
  if (body === null) return false
  if (isEmptied(body)) return true
  if (!isSameEnvironment) return false
  if (Buffer.compare(body, deadLetter.body) === 0) return true
  if (row.attempts > 0 && deadLetter.attempts === 0) return false
  const createdAt = createdAtMs(deadLetter)
  return createdAt !== null && createdAt === createdAtMs({ body, receivedAtMs: row.received_at.getTime() })
}

type Found = { readonly id: string }

/** Emptied bodies differ, but count as equal. */
async function findReduced({ executor, deadLetter, body }: Writing): Promise<Found | undefined> {
  const { receivedAtMs, reason, environment } = deadLetter
  const parameters = [isoTime(receivedAtMs), reason, environment, objectIdsOf({ ...deadLetter, body })]
  const rows = await executor.query<Found & StoredBodyRow>(findReducedSql, parameters)
  return rows.find((row) => {
    const kept = decrypted(row, executor)
    return kept !== null && (Buffer.compare(kept, body) === 0 || (isEmptied(kept) && isEmptied(body)))
  })
}

async function targetOfBytes(writing: Writing): Promise<Target> {
  const { executor, deadLetter, isReduced, digests } = writing
  const found = isReduced
    ? await findReduced(writing)
    : (await executor.query<Found>(findByBytesSql, [digests, plainDigest(deadLetter.body)]))[0]
  return found === undefined ? { rowId: null, eventId: null } : { rowId: found.id }
}

/**
 * One row per event id, or per distinct bytes without a readable id. Of several bodies with one event id the first has the
 * row, but an accepted event takes it from a quarantined body. Other bodies are stored by their bytes, so that none is lost.
 */
async function targetOf(writing: Writing): Promise<Target> {
  const { executor, deadLetter } = writing
  const { eventId } = deadLetter
  if (eventId === null) return targetOfBytes(writing)
  const [row] = await executor.query<StoredRow>(findByEventSql, [eventId])
  if (row === undefined) return { rowId: null, eventId }
  if (mayReplace(row, writing)) return { rowId: row.id }
  if (row.attempts > 0 || deadLetter.attempts === 0) return targetOfBytes(writing)
  await executor.query(dropTwinSql, [row.id])
  await executor.query(detachSql, [row.id])
  return { rowId: null, eventId }
}

async function writeDeadLetter(executor: SqlExecutor, deadLetter: DeadLetter): Promise<void> {
  const { eventId, environment, reason, error, attempts } = deadLetter
  const erasedAt = await storedErasureLookup(executor, objectIdsOf(deadLetter), new Map())
  const reduced = redactDeadLetterBody(deadLetter, erasedAt)
  const body = reduced ?? deadLetter.body
  const isReduced = reduced !== null && Buffer.compare(reduced, deadLetter.body) !== 0
  const digestKey = await readDigestKey(executor)
  const digests = possibleDigests(deadLetter.body, executor.keys, digestKey)
  // All writers lock in this order: the event, then the bytes.
  if (eventId !== null) await executor.query('SELECT lock_dead_letter($1)::text', [eventId])
  await lockBytes(executor, digests)
  const target = await targetOf({ executor, deadLetter, body, isReduced, digestKey, digests })
  const values = [
    environment,
    reason,
    error,
    objectIdsOf({ ...deadLetter, body }),
    attempts,
    eventId,
    ...bodyParameters(body, executor.keys, isReduced ? null : digestKey),
  ]
  if (target.rowId !== null) await executor.query(updateSql, [...values, target.rowId])
  else await executor.query(insertSql, [...values, target.eventId, isoTime(deadLetter.receivedAtMs)])
}

/** Dead letters that a process writes at a time. */
const inTurn = pLimit(2)

/** Stores a delivery as a dead letter, with a redacted body where a redaction reaches it. Safe to repeat. */
export async function storeDeadLetter(database: Database, deadLetter: DeadLetter): Promise<void> {
  await untilNoConflict(() =>
    inTurn(() => inSharedWrite(database.sql, (executor) => writeDeadLetter(executor, deadLetter))),
  )
}
