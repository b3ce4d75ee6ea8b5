import type { Clock, Environment } from '@persona-ingest/persona'
import { inPages, decryptOrReport, type SqlExecutor } from '../sql/executor.ts'
import { storedErasureLookup } from '../log/stored-erasures.ts'
import { decryptBytes } from '../sql/encrypted-values.ts'
import { emptiedBody, type DeadLetterBytes, objectIdsOf, redactDeadLetterBody } from './dead-letter.ts'
import { bodyAssignments, bodyParameters, pageOfBodiesSql, placeOfBody } from './stored-body.ts'
import { createHash } from 'node:crypto'
import type { Database } from '../database.ts'

type StoredDeadLetter = {
  readonly id: string
  readonly environment: Environment
  readonly body: Uint8Array
  readonly body_sha256: Uint8Array
  readonly received_at: Date
}
type OpenedDeadLetter = DeadLetterBytes & { readonly id: string }

const PAGE_SIZE = 50

const findDeadLettersSql = 'SELECT id::text AS id FROM dead_letters WHERE object_ids && $1::text[]'
const readDeadLettersSql = pageOfBodiesSql(
  'id::text AS id, environment, body, body_sha256, received_at',
  'dead_letters.id = ANY($1::text[]::bigint[])',
  PAGE_SIZE,
)
const redactDeadLetterSql = `
UPDATE dead_letters SET object_ids = $2::text[], ${bodyAssignments(3)} WHERE id = $1::text::bigint`

function decryptDeadLetters(executor: SqlExecutor, stored: readonly StoredDeadLetter[]): readonly OpenedDeadLetter[] {
  return stored.flatMap(({ received_at: receivedAt, body_sha256: name, ...deadLetter }) => {
    const open = () => decryptBytes(deadLetter.body, placeOfBody(name), executor.keys)
    const body = decryptOrReport(executor, { table: 'dead_letters', id: deadLetter.id }, open)
    return body === null ? [] : [{ ...deadLetter, body, receivedAtMs: receivedAt.getTime() }]
  })
}

/** Reads dead letters by their ids, a page at a time. */
export async function* readDeadLetters(
  executor: SqlExecutor,
  ids: readonly string[],
): AsyncGenerator<readonly OpenedDeadLetter[]> {
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

/** Reads the dead letters in which one of the objects is named, a page at a time. */
export async function* deadLettersOf(
  executor: SqlExecutor,
  objectIds: readonly string[],
): AsyncGenerator<readonly OpenedDeadLetter[]> {
  const found = await executor.query<{ id: string }>(findDeadLettersSql, [objectIds])
  yield* readDeadLetters(
    executor,
    found.map(({ id }) => id),
  )
}

/** Replaces the body of a dead letter by what erasure leaves of it; its digest goes. */
async function writeRedactedDeadLetter(
  executor: SqlExecutor,
  deadLetter: OpenedDeadLetter,
  body: Uint8Array,
): Promise<void> {
  // Bytes that are no event may name anything as an id: what is gone from the body goes from the ids as well.
  const objectIds = objectIdsOf({ ...deadLetter, body })
  await executor.query(redactDeadLetterSql, [deadLetter.id, objectIds, ...bodyParameters(body, executor.keys, null)])
}

/**
 * Reduces the bodies of dead letters in which newly erased objects stand. Only within an exclusive write. Returns the ids
 * of the dead letters that held more.
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

/** Leaves nothing of the dead letters named but what they failed for; returns their ids. Only within an exclusive write. */
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
 * Tells the database that is connected from every other, also of the same server or restored from the same backup: 16
 * hexadecimal digits. Another follows a restart and a fail-over, so it must be read again each time.
 */
export async function readDatabaseIdentity(database: Database): Promise<string> {
  const sql = `SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || oid
      || '/' || extract(epoch FROM pg_postmaster_start_time()) AS id FROM pg_database WHERE datname = current_database()`
  const [row] = await database.prisma.$queryRawUnsafe<readonly { id: string }[]>(sql)
  return createHash('sha256')
    .update(row?.id ?? '')
    .digest('hex')
    .slice(0, 16)
}

/** Counts the writes that ran alone, which every redaction and erasure does: where it stands still, none has come. */
export async function readErasureEpoch(database: Database): Promise<string> {
  const [row] = await database.prisma.$queryRawUnsafe<readonly { epoch: string }[]>(
    'SELECT epoch::text AS epoch FROM ingest_state',
  )
  return row?.epoch ?? ''
}

/**
 * The body of a delivery that is not stored yet, as the erasures known at this moment leave it; null where they leave it
 * as it is. What is to be kept anywhere else meanwhile, such as in the queue, is kept so.
 */
export async function redactDelivery(database: Database, delivery: DeadLetterBytes): Promise<Uint8Array | null> {
  const erasedAt = await storedErasureLookup(database.sql, objectIdsOf(delivery), new Map())
  return redactDeadLetterBody(delivery, erasedAt)
}
