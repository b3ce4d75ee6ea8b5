import type { Database } from '../database.ts'
import { compareClocks, type Clock, type RedactionLookup } from '@persona-ingest/persona'
import type { SqlExecutor } from '../sql/executor.ts'

/** Keeps the newest clock per key; whether the given one is newer. */
export function raiseClock(clocks: Map<string, Clock>, key: string, clock: Clock): boolean {
  const known = clocks.get(key)
  if (known !== undefined && compareClocks(known, clock) >= 0) return false
  clocks.set(key, clock)
  return true
}

type StoredErasure = { readonly id: string; readonly eventId: string; readonly createdAt: Date; readonly rank: number }

const storedErasuresSql = `
SELECT id, erased_event_id AS "eventId", erased_created_at AS "createdAt", erased_rank AS rank
FROM objects WHERE id = ANY($1::text[]) AND erased_event_id IS NOT NULL`

/** Gives a look-up in `raised` and, for the given objects, in the stored erasures. */
export async function storedErasureLookup(
  executor: SqlExecutor,
  objectIds: Iterable<string>,
  raised: ReadonlyMap<string, Clock>,
): Promise<RedactionLookup> {
  const rows = await executor.query<StoredErasure>(storedErasuresSql, [[...new Set(objectIds)]])
  const stored = new Map<string, Clock>(
    rows.map(({ id, eventId, createdAt, rank }) => [id, { createdAtMs: createdAt.getTime(), rank, eventId }]),
  )
  return (objectId) => raised.get(objectId) ?? stored.get(objectId) ?? null
}

/** Reads the epoch, which every redaction and erasure raises. */
export async function readErasureEpoch(database: Database): Promise<string> {
  const [row] = await database.prisma.$queryRawUnsafe<readonly { epoch: string }[]>(
    'SELECT epoch::text AS epoch FROM ingest_state',
  )
  return row?.epoch ?? ''
}
