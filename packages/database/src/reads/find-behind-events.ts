import type { PrismaClient } from '../generated/client.ts'
import { newerThanRow } from './count-drifted-events.ts'

const behindSql = `
SELECT id FROM events e WHERE id = ANY($1::text[])
  AND NOT (${['inquiries', 'verifications', 'resources'].map(newerThanRow).join(' OR ')}) ORDER BY id`

/** Which of these events tell more than the row of their object holds: it is missing, or older. */
export async function findBehindEvents(prisma: PrismaClient, eventIds: readonly string[]): Promise<readonly string[]> {
  const rows = await prisma.$queryRawUnsafe<readonly { readonly id: string }[]>(behindSql, [...eventIds])
  return rows.map(({ id }) => id)
}
