import type { KeyRing } from '@persona-ingest/core'
import { createHash, randomBytes } from 'node:crypto'
import type { SqlExecutor } from '../sql/executor.ts'
import { encryptBytes, type Place } from '../sql/encrypted-values.ts'

/** Digests of bodies can't be compared with digests that were made for anything else. */
const PURPOSE = 'dead letter body'
const NAME_BYTES = 32

/** What an encrypted body is bound to: the name in its row, which is random and tells nothing of the body. */
export function placeOfBody(name: Uint8Array): Place {
  return ['dead_letters', Buffer.from(name).toString('hex'), 'body']
}

/** The columns of a row that tell how its body is stored. */
export const storedBodyColumns = 'body, body_sha256, body_digest, digest_of'
export type StoredBodyRow = {
  readonly body: Uint8Array
  /** The name of the body; in a row of an older version the SHA-256 of the bytes as received. */
  readonly body_sha256: Uint8Array
  readonly body_digest: Uint8Array | null
  readonly digest_of: Uint8Array | null
}

/** As stored, per page. */
const BYTES_PER_PAGE = 4_000_000

/**
 * SQL that selects the first rows, by id, that fulfil a condition: `rows` at most, one at least, and fewer where their
 * bodies are large. A body may have 2 MiB, and every process that reads a page holds all of it.
 */
export function pageOfBodiesSql(columns: string, condition: string, rows: number): string {
  return `
WITH measured AS (
  SELECT *, sum(octet_length(body)) OVER (ORDER BY dead_letters.id) - octet_length(body) AS before
  FROM dead_letters WHERE ${condition} ORDER BY dead_letters.id LIMIT ${rows}
)
SELECT ${columns} FROM measured WHERE before < ${BYTES_PER_PAGE} ORDER BY measured.id`
}

/** SQL: tells the rows that a version before keyed digests has written. */
export const isOlderRowSql = 'digest_of IS DISTINCT FROM body_sha256'

/** Used to recognise rows of older versions; never stored, since it tells a body to a reader who knows most of it. */
export function plainDigest(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest()
}

/** Tells whether a row still holds the bytes that were received: an erasure leaves others. */
export function isAsReceived(row: StoredBodyRow, opened: Uint8Array): boolean {
  const isOlder = row.digest_of === null || Buffer.compare(row.digest_of, row.body_sha256) !== 0
  return isOlder ? plainDigest(opened).equals(row.body_sha256) : row.body_digest !== null
}

/** Reads the key that digests are made with where no encryption key is set. */
export async function readDigestKey(executor: SqlExecutor): Promise<Uint8Array> {
  const [row] = await executor.query<{ key: Uint8Array }>('SELECT digest_key AS key FROM ingest_state WHERE id = 1', [])
  if (row === undefined) throw new Error('Expected a migrated database: ingest_state is empty')
  return row.key
}

/** SQL that assigns what {@link bodyParameters} gives, from the parameter with this number on. */
export function bodyAssignments(first: number): string {
  const [body, name, digest, keyId] = [first, first + 1, first + 2, first + 3].map((number) => `$${number}`)
  return (
    `body = ${body}::bytea, body_sha256 = ${name}::bytea, digest_of = ${name}::bytea, ` +
    `body_digest = ${digest}::bytea, digest_key_id = ${keyId}::text`
  )
}

/**
 * The parameters that store a body: encrypted where there are keys, under a new name. `digestKey`: null for a body that
 * an erasure has reduced. Such a body has no digest, since a digest would tell what the erasure has removed.
 */
export function bodyParameters(body: Uint8Array, keys: KeyRing, digestKey: Uint8Array | null): readonly unknown[] {
  const name = randomBytes(NAME_BYTES)
  const digest = digestKey === null ? null : keys.digest(PURPOSE, body, digestKey)
  return [
    Buffer.from(encryptBytes(body, placeOfBody(name), keys)),
    name,
    digest === null ? null : digest.bytes,
    digest === null ? null : digest.keyId,
  ]
}

/**
 * Only one transaction at a time looks for the same bytes and writes them. The unique index does not suffice: while keys
 * are rotated, two workers store the digests of equal bytes under different keys. The last digest is made with the
 * installation's key, which all workers have.
 */
export async function lockBytes(executor: SqlExecutor, digests: readonly string[]): Promise<void> {
  const lock = Buffer.from(digests.at(-1) ?? '', 'hex').readInt32BE()
  await executor.query('SELECT pg_advisory_xact_lock(723114605, $1::int)::text', [lock])
}

/** The digests, as hex, under which equal bytes may be stored: under each key, and under the installation's own. */
export function possibleDigests(body: Uint8Array, keys: KeyRing, digestKey: Uint8Array): readonly string[] {
  return keys.digests(PURPOSE, body, digestKey).map(({ bytes }) => bytes.toString('hex'))
}
