import type { Database } from './database.ts'

/** A row of `operations`. */
export type OperationRow = {
  readonly id: string
  readonly command: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly operator: string
  readonly reason: string | null
  readonly started_at: Date
  /** Null while the operation runs, and where its process died. */
  readonly ended_at: Date | null
  readonly outcome: 'done' | 'failed' | null
  readonly counts: Readonly<Record<string, number>>
}

export type OperationPage = {
  readonly operations: readonly OperationRow[]
  /** The `before` of the next page, or null where this is the last one. */
  readonly next: string | null
}

const listSql = `
SELECT id::text AS id, command, arguments, operator, reason, started_at, ended_at, outcome, counts
FROM operations WHERE ($1::text IS NULL OR operations.id < $1::text::bigint)
ORDER BY operations.id DESC LIMIT $2::int`

/** Lists operations, the newest first, a page at a time. */
export async function listOperations(
  database: Database,
  filter: { readonly before?: string | undefined; readonly limit: number },
): Promise<OperationPage> {
  const rows = await database.prisma.$queryRawUnsafe<readonly OperationRow[]>(
    listSql,
    filter.before ?? null,
    filter.limit + 1,
  )
  const page = rows.slice(0, filter.limit)
  return { operations: page, next: rows.length > filter.limit ? (page.at(-1)?.id ?? null) : null }
}

/** An operation at its beginning. It holds ids, codes and times, no personal data. */
export type Operation = {
  /** Such as `dead-letters discard`. */
  readonly command: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly operator: string
  readonly reason: string | null
}

/** Counts of an operation by name; they are stored also where the operation fails. */
export type OperationCounts = Record<string, number>

const beginSql = `
INSERT INTO operations (command, arguments, operator, reason, started_at, counts)
VALUES ($1, $2::text::jsonb, $3, $4, clock_timestamp(), '{}') RETURNING id::text AS id`

const endSql = `
UPDATE operations SET ended_at = clock_timestamp(), outcome = $2, counts = $3::text::jsonb WHERE id = $1::text::bigint`

/** Replaces NUL and lone surrogates, which PostgreSQL can't hold. */
function storable(text: string): string {
  return text.replaceAll('\u0000', '\ufffd').toWellFormed()
}

/**
 * Runs an operation with a row in `operations`, which is written before `act` and completed after it. `act` fills in the
 * counts. A row without an end shows a process that died. Rejects as `act` does.
 */
export async function recordOperation<Result>(
  database: Database,
  operation: Operation,
  act: (counts: OperationCounts) => Promise<Result>,
): Promise<Result> {
  const { command, operator, reason } = operation
  const [row] = await database.prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(
    beginSql,
    command,
    storable(JSON.stringify(operation.arguments)),
    storable(operator),
    reason === null ? null : storable(reason),
  )
  const counts: OperationCounts = {}
  const end = async (outcome: 'done' | 'failed') =>
    await database.prisma.$executeRawUnsafe(endSql, row?.id, outcome, JSON.stringify(counts))
  let result: Result
  try {
    result = await act(counts)
  } catch (error) {
    // The error of the operation itself must reach the operator.
    await end('failed').catch(() => undefined)
    throw error
  }
  await end('done')
  return result
}
