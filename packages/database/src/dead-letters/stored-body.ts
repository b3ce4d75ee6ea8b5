import { createHash, randomBytes } from 'node:crypto'
import type { KeyRing } from '@persona-ingest/core'
import { encryptBytes, type Place } from '../sql/row-values.ts'
import type { SqlExecutor } from '../sql/executor.ts'

const PURPOSE = 'dead letter body'
const NAME_BYTES = 32

/** The place that an encrypted body is bound to, by the random name in its row. */
export function placeOfBody(name: Uint8Array): Place {
  return ['dead_letters', Buffer.from(name).toString('hex'), 'body']
}

export const storedBodyColumns = 'body, body_sha256, body_digest, digest_of'
export type StoredBodyRow = {
  readonly body: Uint8Array
  /** The name of the body; in a row of an older version the SHA-256 of the bytes as received. */
  readonly body_sha256: Uint8Array
  readonly body_digest: Uint8Array | null
  readonly digest_of: Uint8Array | null
}

/** Per page, as stored. */
const BYTES_PER_PAGE = 4_000_000

/**
 * SQL: the first rows by id that fulfil a condition, `rows` at most, and fewer where their bodies are large. A body may have
 * 2 MiB, and a page is held in memory.
 */
export function pageOfBodiesSql(columns: string, condition: string, rows: number): string {
  return `
WITH measured AS (
  SELECT *, sum(octet_length(body)) OVER (ORDER BY dead_letters.id) - octet_length(body) AS before
  FROM dead_letters WHERE ${condition} ORDER BY dead_letters.id LIMIT ${rows}
)
SELECT ${columns} FROM measured WHERE before < ${BYTES_PER_PAGE} ORDER BY measured.id`
}

/** SQL: whether a version before keyed digests has written the row. */
export const isOlderRowSql = 'digest_of IS DISTINCT FROM body_sha256'

/** Recognises rows of older versions. Never stored, since it reveals the rest of a body that is mostly known. */
export function plainDigest(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest()
}

/** Whether a row still holds the bytes as received; an erasure leaves others. */
export function isAsReceived(row: StoredBodyRow, decrypted: Uint8Array): boolean {
  const isOlder = row.digest_of === null || Buffer.compare(row.digest_of, row.body_sha256) !== 0
  return isOlder ? plainDigest(decrypted).equals(row.body_sha256) : row.body_digest !== null
}

/** Reads the installation's key, for digests without an encryption key. */
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
 * The parameters that store a body, encrypted where there are keys, under a new name. `digestKey` is null for a reduced body,
 * since a digest would reveal the rest of it.
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
 * Lets one transaction at a time write the same bytes. The unique index does not suffice while keys are rotated, since two
 * workers then use different keys. The last digest is under the installation's key, which all workers have.
 */
export async function lockBytes(executor: SqlExecutor, digests: readonly string[]): Promise<void> {
  const lock = Buffer.from(digests.at(-1) ?? '', 'hex').readInt32BE()
  await executor.query('SELECT pg_advisory_xact_lock(723114605, $1::int)::text', [lock])
}

/** The digests, as hex, under which equal bytes may be stored: of each key, and last of the installation's key. */
export function possibleDigests(body: Uint8Array, keys: KeyRing, digestKey: Uint8Array): readonly string[] {
  return keys.digests(PURPOSE, body, digestKey).map(({ bytes }) => bytes.toString('hex'))
}
