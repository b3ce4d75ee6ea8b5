import { parseExact, type Environment, type JsonValue } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import type { DeadLetterState } from '../dead-letters/dead-letter.ts'
import { placeOfBody, plainDigest } from '../dead-letters/stored-body.ts'
import { decryptBytes } from '../sql/row-values.ts'

/** Counts open dead letters by reason; reasons without any are left out. */
export async function countOpenDeadLetters(
  database: Database,
): Promise<readonly { readonly reason: string; readonly count: number }[]> {
  const groups = await database.prisma.deadLetter.groupBy({ by: ['reason'], where: { state: 'open' }, _count: true })
  return groups.map(({ reason, _count }) => ({ reason, count: _count }))
}

/** A row of `dead_letters` without its body. */
export type DeadLetterListItem = {
  /** A bigint as text. */
  readonly id: string
  /** Null where the body has no readable id. */
  readonly event_id: string | null
  readonly environment: Environment
  /** A stable code; see docs/errors.md. */
  readonly reason: string
  readonly error: string
  /** 0 for quarantined bodies. */
  readonly attempts: number
  readonly received_at: Date
  readonly failed_at: Date
  readonly state: DeadLetterState
  readonly resolved_at: Date | null
  readonly body_bytes: number
}

/** A row of `dead_letters`. */
export type DeadLetterRow = DeadLetterListItem & {
  readonly body: Uint8Array
  /** Of the stored body, in hex. */
  readonly body_sha256: string
}

/** With the body as stored, which may be encrypted, and the name that it is bound to. */
type StoredRow = Omit<DeadLetterRow, 'body_sha256'> & { readonly body_sha256: Uint8Array }

export type DeadLetterFilter = {
  /** All states where left out. */
  readonly state?: DeadLetterState | undefined
  readonly reason?: string | undefined
  /** Only dead letters that are older than the one with this id. */
  readonly before?: string | undefined
  readonly limit: number
}

export type DeadLetterPage = {
  readonly deadLetters: readonly DeadLetterListItem[]
  /** The `before` of the next page, or null where this is the last one. */
  readonly next: string | null
}

const COLUMNS = `id::text AS id, event_id, environment, reason, error, attempts, received_at, failed_at, state, resolved_at,
  octet_length(body) AS body_bytes`

const listSql = `
SELECT ${COLUMNS} FROM dead_letters
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR reason = $2)
  AND ($3::text IS NULL OR dead_letters.id < $3::text::bigint)
ORDER BY dead_letters.id DESC LIMIT $4::int`

const findSql = `
SELECT ${COLUMNS}, body, body_sha256 FROM dead_letters
WHERE dead_letters.id = $1::text::bigint`

/** Lists dead letters, the newest first, a page at a time. */
export async function listDeadLetters(database: Database, filter: DeadLetterFilter): Promise<DeadLetterPage> {
  const rows = await database.prisma.$queryRawUnsafe<readonly DeadLetterListItem[]>(
    listSql,
    filter.state ?? null,
    filter.reason ?? null,
    filter.before ?? null,
    filter.limit + 1,
  )
  const page = rows.slice(0, filter.limit)
  return { deadLetters: page, next: rows.length > filter.limit ? (page.at(-1)?.id ?? null) : null }
}

/** Reads a dead letter by its id, a bigint as text; null where there is none. */
export async function findDeadLetter(database: Database, id: string): Promise<DeadLetterRow | null> {
  const [row] = await database.prisma.$queryRawUnsafe<readonly StoredRow[]>(findSql, id)
  if (row === undefined) return null
  const body = decryptBytes(row.body, placeOfBody(row.body_sha256), database.keys)
  return { ...row, body, body_bytes: body.byteLength, body_sha256: plainDigest(body).toString('hex') }
}

/** Parses the body of a dead letter with exact numbers; null where it is no JSON. A body may be JSON's own `null`. */
export function readDeadLetterDocument(body: Uint8Array): { readonly document: JsonValue } | null {
  try {
    return {
      document: parseExact(
        Buffer.from(body)
          .toString('utf8')
          .replace(/^\ufeff/, ''),
      ),
    }
  } catch {
    return null
  }
}
