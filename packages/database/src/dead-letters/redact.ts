import type { Clock, Environment } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { storedErasureLookup } from '../log/stored-erasures.ts'
import { decryptBytes } from '../sql/row-values.ts'
import { inPages, decryptOrReport, type SqlExecutor } from '../sql/executor.ts'
import { emptiedBody, type DeadLetterBytes, objectIdsOf, redactDeadLetterBody } from './dead-letter.ts'
import { bodyAssignments, bodyParameters, pageOfBodiesSql, placeOfBody } from './stored-body.ts'

type StoredDeadLetter = {
  readonly id: string
  readonly environment: Environment
  readonly body: Uint8Array
  readonly body_sha256: Uint8Array
  readonly received_at: Date
}
type DecryptedDeadLetter = DeadLetterBytes & { readonly id: string }

const PAGE_SIZE = 50

const findDeadLettersSql = 'SELECT id::text AS id FROM dead_letters WHERE object_ids && $1::text[]'
const readDeadLettersSql = pageOfBodiesSql(
  'id::text AS id, environment, body, body_sha256, received_at',
  'dead_letters.id = ANY($1::text[]::bigint[])',
  PAGE_SIZE,
)
const redactDeadLetterSql = `
UPDATE dead_letters SET object_ids = $2::text[], ${bodyAssignments(3)} WHERE id = $1::text::bigint`

function decryptDeadLetters(
  executor: SqlExecutor,
  stored: readonly StoredDeadLetter[],
): readonly DecryptedDeadLetter[] {
  return stored.flatMap(({ received_at: receivedAt, body_sha256: name, ...deadLetter }) => {
    const decrypt = () => decryptBytes(deadLetter.body, placeOfBody(name), executor.keys)
    const body = decryptOrReport(executor, { table: 'dead_letters', id: deadLetter.id }, decrypt)
    return body === null ? [] : [{ ...deadLetter, body, receivedAtMs: receivedAt.getTime() }]
  })
}

/** Reads dead letters by their ids, a page at a time. */
export async function* readDeadLetters(
  executor: SqlExecutor,
  ids: readonly string[],
): AsyncGenerator<readonly DecryptedDeadLetter[]> {
  for (const page of inPages(ids, PAGE_SIZE)) {
    for (let left = page; left.length > 0;) {
      const stored = await executor.query<StoredDeadLetter>(readDeadLettersSql, [left])
      const last = stored.at(-1)
      if (last === undefined) break
      yield decryptDeadLetters(executor, stored)
      left = left.filter((id) => BigInt(id) > BigInt(last.id))
    }
  }
}

/** Reads dead letters that name one of the objects, a page at a time. */
export async function* deadLettersOf(
  executor: SqlExecutor,
  objectIds: readonly string[],
): AsyncGenerator<readonly DecryptedDeadLetter[]> {
  const found = await executor.query<{ id: string }>(findDeadLettersSql, [objectIds])
  yield* readDeadLetters(
    executor,
    found.map(({ id }) => id),
  )
}

/** Writes the redacted body of a dead letter and removes its digest. */
async function writeRedactedDeadLetter(
  executor: SqlExecutor,
  deadLetter: DecryptedDeadLetter,
  body: Uint8Array,
): Promise<void> {
  // An id in bytes that are no event may be any text, so ids that the body has lost are removed too.
  const objectIds = objectIdsOf({ ...deadLetter, body })
  await executor.query(redactDeadLetterSql, [deadLetter.id, objectIds, ...bodyParameters(body, executor.keys, null)])
}

/**
 * Redacts the bodies of dead letters that contain newly erased objects. Only within an exclusive write. Returns the ids of
 * changed dead letters.
 */
export async function redactDeadLetters(
  executor: SqlExecutor,
  raised: ReadonlyMap<string, Clock>,
): Promise<readonly string[]> {
  if (raised.size === 0) return []
  const redactedDeadLetterIds: string[] = []
  for await (const deadLetters of deadLettersOf(executor, [...raised.keys()])) {
    const erasedAt = await storedErasureLookup(executor, deadLetters.flatMap(objectIdsOf), raised)
    for (const deadLetter of deadLetters) {
      const body = redactDeadLetterBody(deadLetter, erasedAt)
      if (body === null || Buffer.compare(body, deadLetter.body) === 0) continue
      await writeRedactedDeadLetter(executor, deadLetter, body)
      redactedDeadLetterIds.push(deadLetter.id)
    }
  }
  return redactedDeadLetterIds
}

/** Empties the bodies of dead letters and returns their ids. Only within an exclusive write. */
export async function emptyDeadLetters(executor: SqlExecutor, ids: readonly string[]): Promise<readonly string[]> {
  const emptiedIds: string[] = []
  for await (const deadLetters of readDeadLetters(executor, ids)) {
    for (const deadLetter of deadLetters) {
      await writeRedactedDeadLetter(executor, deadLetter, emptiedBody())
      emptiedIds.push(deadLetter.id)
    }
  }
  return emptiedIds
}

/**
 * Redacts the body of a delivery that is not stored yet, such as one in the queue. Null where no stored erasure changes it.
 */
export async function redactDelivery(database: Database, delivery: DeadLetterBytes): Promise<Uint8Array | null> {
  const erasedAt = await storedErasureLookup(database.sql, objectIdsOf(delivery), new Map())
  return redactDeadLetterBody(delivery, erasedAt)
}
