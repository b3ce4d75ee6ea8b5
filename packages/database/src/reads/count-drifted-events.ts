import type { PrismaClient } from '../generated/client.ts'

const EVENTS_LOOKED_AT = 1_000

export function newerThanRow(table: string): string {
  return `EXISTS (SELECT FROM ${table} r WHERE r.id = e.resource_id AND r.event_id IS NOT NULL
    AND (r.event_created_at, r.event_rank, r.event_id) >= (e.created_at, e.rank, e.id))`
}

/** What is that young is never pruned; said so that the index of those is used. Each event's object must have a row, in one of the projections, whose clock is the event's or newer. */
const driftedEventsSql = `
SELECT count(*)::int AS count
FROM (SELECT * FROM events WHERE pruned_at IS NULL AND received_at > now() - interval '15 minutes' LIMIT ${EVENTS_LOOKED_AT}) e
WHERE NOT (${['inquiries', 'verifications', 'resources'].map(newerThanRow).join(' OR ')})`

/**
 * Counts, among up to 1,000 events of the last 15 minutes, those whose object has no row or an older one. It is 0 unless
 * rows were changed by hand or by a fault of ours.
 */
export async function countDriftedEvents(prisma: PrismaClient): Promise<number> {
  const [row] = await prisma.$queryRawUnsafe<readonly { readonly count: number }[]>(driftedEventsSql)
  return row?.count ?? 0
}
