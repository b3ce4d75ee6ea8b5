import type { Clock, Environment } from '@persona-ingest/persona'
import { inPages, openedUnlessTold, type SqlExecutor } from '../sql/executor.ts'
import { storedErasureLookup } from '../log/stored-erasures.ts'
import { openBytes } from '../sql/encrypted-values.ts'
import { emptiedBody, type LetterBytes, objectIdsOf, reduceLetterBody } from './dead-letter.ts'
import { bodyAssignments, bodyParameters, pageOfBodiesSql, placeOfBody } from './stored-body.ts'
import { createHash } from 'node:crypto'
import type { Database } from '../database.ts'

type StoredLetter = {
  readonly id: string
  readonly environment: Environment
  readonly body: Uint8Array
  readonly body_sha256: Uint8Array
  readonly received_at: Date
}
type Letter = LetterBytes & { readonly id: string }

const PAGE_SIZE = 50

const findLettersSql = 'SELECT id::text AS id FROM dead_letters WHERE object_ids && $1::text[]'
const readLettersSql = pageOfBodiesSql(
  'id::text AS id, environment, body, body_sha256, received_at',
  'dead_letters.id = ANY($1::text[]::bigint[])',
  PAGE_SIZE,
)
const reduceLetterSql = `
UPDATE dead_letters SET object_ids = $2::text[], ${bodyAssignments(3)} WHERE id = $1::text::bigint`

function openLetters(executor: SqlExecutor, stored: readonly StoredLetter[]): readonly Letter[] {
  return stored.flatMap(({ received_at: receivedAt, body_sha256: name, ...letter }) => {
    const open = () => openBytes(letter.body, placeOfBody(name), executor.keys)
    const body = openedUnlessTold(executor, { table: 'dead_letters', id: letter.id }, open)
    return body === null ? [] : [{ ...letter, body, receivedAtMs: receivedAt.getTime() }]
  })
}

/** Reads letters by their ids, a page at a time. */
export async function* readLetters(executor: SqlExecutor, ids: readonly string[]): AsyncGenerator<readonly Letter[]> {
  for (const page of inPages(ids, PAGE_SIZE)) {
    for (let left = page; left.length > 0;) {
      const stored = await executor.query<StoredLetter>(readLettersSql, [left])
      const last = stored.at(-1)
      if (last === undefined) break
      yield openLetters(executor, stored)
      left = left.filter((id) => BigInt(id) > BigInt(last.id))
    }
  }
}

/** Reads the letters in which one of the objects is named, a page at a time. */
export async function* lettersOf(
  executor: SqlExecutor,
  objectIds: readonly string[],
): AsyncGenerator<readonly Letter[]> {
  const found = await executor.query<{ id: string }>(findLettersSql, [objectIds])
  yield* readLetters(
    executor,
    found.map(({ id }) => id),
  )
}

/** Replaces the body of a letter by what erasure leaves of it; its digest goes. */
async function writeReducedLetter(executor: SqlExecutor, letter: Letter, body: Uint8Array): Promise<void> {
  // Bytes that are no event may name anything as an id: what is gone from the body goes from the ids as well.
  const objectIds = objectIdsOf({ ...letter, body })
  await executor.query(reduceLetterSql, [letter.id, objectIds, ...bodyParameters(body, executor.keys, null)])
}

/**
 * Reduces the bodies of dead letters in which newly erased objects stand. Only within an exclusive write. Returns the ids
 * of the letters that held more.
 */
export async function reduceDeadLetters(
  executor: SqlExecutor,
  raised: ReadonlyMap<string, Clock>,
): Promise<readonly string[]> {
  if (raised.size === 0) return []
  const reducedIds: string[] = []
  for await (const letters of lettersOf(executor, [...raised.keys()])) {
    const erasedAt = await storedErasureLookup(executor, letters.flatMap(objectIdsOf), raised)
    for (const letter of letters) {
      const body = reduceLetterBody(letter, erasedAt)
      if (body === null || Buffer.compare(body, letter.body) === 0) continue
      await writeReducedLetter(executor, letter, body)
      reducedIds.push(letter.id)
    }
  }
  return reducedIds
}

/** Leaves nothing of the letters named but what they failed for; returns their ids. Only within an exclusive write. */
export async function emptyLetters(executor: SqlExecutor, ids: readonly string[]): Promise<readonly string[]> {
  const emptiedIds: string[] = []
  for await (const letters of readLetters(executor, ids)) {
    for (const letter of letters) {
      await writeReducedLetter(executor, letter, emptiedBody())
      emptiedIds.push(letter.id)
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
export async function reduceDelivery(database: Database, delivery: LetterBytes): Promise<Uint8Array | null> {
  const erasedAt = await storedErasureLookup(database.sql, objectIdsOf(delivery), new Map())
  return reduceLetterBody(delivery, erasedAt)
}
