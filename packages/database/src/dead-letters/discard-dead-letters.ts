import type { PrismaClient } from '../generated/client.ts'
import { selectedLettersSql, selectionParameters, type LetterSelection } from './letter-selection.ts'

export type DiscardResult = {
  readonly discarded: number
  /** Selected by id, and not open: discarded or replayed before. */
  readonly notOpen: readonly string[]
  /** Selected by id, and not there. */
  readonly missing: readonly string[]
}

const discardSql = `
UPDATE dead_letters SET state = 'discarded', resolved_at = clock_timestamp()
WHERE id IN (SELECT id FROM dead_letters WHERE ${selectedLettersSql} AND state = 'open' LIMIT 1000)
RETURNING id::text AS id`

const knownSql = `SELECT id::text AS id FROM dead_letters WHERE dead_letters.id = ANY($1::text[]::bigint[])`

/**
 * Marks open dead letters as discarded: nobody means to process them any more. Their bytes stay until they are pruned,
 * and a redelivery or a replay is still a new chance. Safe to repeat.
 */
export async function discardDeadLetters(prisma: PrismaClient, selection: LetterSelection): Promise<DiscardResult> {
  const discarded = new Set<string>()
  for (;;) {
    const parameters = selectionParameters(selection)
    const rows = await prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(discardSql, ...parameters)
    for (const { id } of rows) discarded.add(id)
    if (rows.length === 0) break
  }
  if (!('ids' in selection)) return { discarded: discarded.size, notOpen: [], missing: [] }
  const ids = [...new Set(selection.ids.map((id) => String(BigInt(id))))]
  const found = await prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(knownSql, ids)
  const known = new Set(found.map(({ id }) => id))
  return {
    discarded: discarded.size,
    notOpen: ids.filter((id) => known.has(id) && !discarded.has(id)),
    missing: ids.filter((id) => !known.has(id)),
  }
}
