import type { Environment } from '@persona-ingest/persona'
import type { PrismaClient } from '../generated/client.ts'
import { formatInquiryCursor, type InquiryCursor } from './inquiry-cursor.ts'
import type { InquiryRow } from './rows.ts'

/** Which inquiries to list; what is left out does not narrow. */
export type InquiryFilter = {
  readonly status?: string | undefined
  readonly environment?: Environment | undefined
  readonly referenceId?: string | undefined
  readonly accountId?: string | undefined
  /** Only what comes after this place in the list. */
  readonly before?: InquiryCursor | undefined
  readonly limit: number
}

/** How many verifications an inquiry has, in all and by status (`unknown`: none told yet). */
export type VerificationSummary = { readonly count: number; readonly statuses: Readonly<Record<string, number>> }

export type InquiryListItem = Pick<
  InquiryRow,
  'id' | 'status' | 'environment' | 'reference_id' | 'created_at' | 'decisioned_at' | 'event_name' | 'event_created_at'
> & { readonly verifications: VerificationSummary }

export type InquiryPage = {
  readonly inquiries: readonly InquiryListItem[]
  /** The cursor of the next page, or null where this is the last one. */
  readonly next: string | null
}

/** Those known by reference only have no clock and come last; ids compare byte by byte, as the clock does. */
const SORT_KEYS = [
  `COALESCE(event_created_at, '-infinity')`,
  'COALESCE(event_rank, -1)',
  `COALESCE(event_id, '') COLLATE "C"`,
  'id',
]

const listSql = `
WITH page AS (
  SELECT id, status, environment, reference_id, created_at, decisioned_at, event_id, event_name, event_created_at,
    event_rank
  FROM inquiries
  WHERE ($1::text IS NULL OR status = $1)
    AND ($2::text IS NULL OR environment = $2)
    AND ($3::text IS NULL OR reference_id = $3)
    AND ($4::text IS NULL OR account_id = $4)
    AND ($5::text IS NULL OR (${SORT_KEYS.join(', ')})
      < (COALESCE($6::timestamptz, '-infinity'), COALESCE($7::smallint, -1), COALESCE($8::text, ''), $5))
  ORDER BY ${SORT_KEYS.map((key) => `${key} DESC`).join(', ')}
  LIMIT $9::int
)
SELECT page.*, (
  SELECT json_object_agg(counted.status, counted.count) FROM (
    SELECT COALESCE(status, 'unknown') AS status, count(*)::int AS count
    FROM verifications WHERE inquiry_id = page.id GROUP BY 1 ORDER BY 1
  ) AS counted
) AS statuses
FROM page ORDER BY ${SORT_KEYS.map((key) => `${key} DESC`).join(', ')}`

type ListedRow = Omit<InquiryListItem, 'verifications'> &
  Pick<InquiryRow, 'event_id' | 'event_rank'> & { readonly statuses: Readonly<Record<string, number>> | null }

function toItem({ statuses, event_id: _id, event_rank: _rank, ...row }: ListedRow): InquiryListItem {
  const count = Object.values(statuses ?? {}).reduce((sum, each) => sum + each, 0)
  return { ...row, verifications: { count, statuses: statuses ?? {} } }
}

function cursorAfter(row: ListedRow): string {
  const { event_created_at: eventCreatedAt, event_rank: eventRank, event_id: eventId, id } = row
  return formatInquiryCursor({ eventCreatedAt, eventRank, eventId, id })
}

/** Lists inquiries, those with the newest event first, a page at a time. */
export async function listInquiries(prisma: PrismaClient, filter: InquiryFilter): Promise<InquiryPage> {
  const { status, environment, referenceId, accountId, before, limit } = filter
  const rows = await prisma.$queryRawUnsafe<readonly ListedRow[]>(
    listSql,
    status ?? null,
    environment ?? null,
    referenceId ?? null,
    accountId ?? null,
    before?.id ?? null,
    before?.eventCreatedAt?.toISOString() ?? null,
    before?.eventRank ?? null,
    before?.eventId ?? null,
    // One more than asked for tells whether there is a next page.
    limit + 1,
  )
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return {
    inquiries: page.map(toItem),
    next: rows.length > limit && last !== undefined ? cursorAfter(last) : null,
  }
}
