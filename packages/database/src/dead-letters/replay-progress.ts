import type { PrismaClient } from '../generated/client.ts'

/** What became of a letter that was enqueued: stored, failed again, or neither yet. */
export type LetterProgress = 'replayed' | 'failed-again' | 'under-way'

const progressSql = `
SELECT dead_letters.id::text AS id,
  CASE WHEN state = 'replayed' THEN 'replayed' WHEN dead_letters.failed_at > sent.failed_at THEN 'failed-again' ELSE 'under-way' END
    AS progress
FROM unnest($1::text[], $2::text[]::timestamptz[]) AS sent(id, failed_at) JOIN dead_letters ON dead_letters.id = sent.id::bigint`

/** Tells what became of replayed letters, each given with the `failed_at` that it had before. */
export async function readReplayProgress(
  prisma: PrismaClient,
  letters: readonly { readonly id: string; readonly failedAt: Date }[],
): Promise<ReadonlyMap<string, LetterProgress>> {
  const rows = await prisma.$queryRawUnsafe<readonly { readonly id: string; readonly progress: LetterProgress }[]>(
    progressSql,
    letters.map(({ id }) => id),
    letters.map(({ failedAt }) => failedAt.toISOString()),
  )
  return new Map(rows.map(({ id, progress }) => [id, progress]))
}
