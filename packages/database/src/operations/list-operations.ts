import type { PrismaClient } from '../generated/client.ts'

/** A row of `operations`. */
export type OperationRow = {
  readonly id: string
  readonly command: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly operator: string
  readonly reason: string | null
  readonly started_at: Date
  /** Null while it is under way, and where its process died. */
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

/** Lists what operators did, the newest first, a page at a time. */
export async function listOperations(
  prisma: PrismaClient,
  filter: { readonly before?: string | undefined; readonly limit: number },
): Promise<OperationPage> {
  const rows = await prisma.$queryRawUnsafe<readonly OperationRow[]>(listSql, filter.before ?? null, filter.limit + 1)
  const page = rows.slice(0, filter.limit)
  return { operations: page, next: rows.length > filter.limit ? (page.at(-1)?.id ?? null) : null }
}
