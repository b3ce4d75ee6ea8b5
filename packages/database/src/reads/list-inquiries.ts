import type { Environment } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import type { InquiryRow } from './rows.ts'

/** A place in the list of inquiries, whose order is (event_created_at, event_rank, event_id, id), newest first. */
export type InquiryCursor = {
  /** Null for inquiries that are known by reference only, which come last. */
  readonly eventCreatedAt: Date | null
  readonly eventRank: number | null
  readonly eventId: string | null
  readonly id: string
}

/** Formats a cursor as an opaque word for command lines and URLs. */
function formatInquiryCursor({ eventCreatedAt, eventRank, eventId, id }: InquiryCursor): string {
  return Buffer.from(JSON.stringify([eventCreatedAt?.getTime() ?? null, eventRank, eventId, id])).toString('base64url')
}

function parseValues(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    return null
  }
}

/** The last millisecond of the year 9999. PostgreSQL reads no later time in ISO 8601. */
const MAX_TIME_MS = 253_402_300_799_999
const MAX_RANK = 32_767

// A cursor comes from outside, so values that PostgreSQL would refuse are refused here.
const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0')
const isCount = (value: unknown, max: number): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= max

/** Parses a cursor of an inquiry page; null for any other text. */
export function parseInquiryCursor(text: string): InquiryCursor | null {
  const values = parseValues(text)
  if (!Array.isArray(values) || values.length !== 4) return null
  const [createdAtMs, eventRank, eventId, id] = values as unknown[]
  if (!isText(id)) return null
  const isReferenceOnly = createdAtMs === null && eventRank === null && eventId === null
  if (isReferenceOnly) return { eventCreatedAt: null, eventRank, eventId, id }
  if (!isCount(createdAtMs, MAX_TIME_MS) || !isCount(eventRank, MAX_RANK) || !isText(eventId)) return null
  return { eventCreatedAt: new Date(createdAtMs), eventRank, eventId, id }
}

/** Conditions on inquiries; all must hold, and a missing one always does. */
export type InquiryFilter = {
  readonly status?: string | undefined
  readonly environment?: Environment | undefined
  readonly referenceId?: string | undefined
  readonly accountId?: string | undefined
  /** Only inquiries behind this place in the list. */
  readonly before?: InquiryCursor | undefined
  readonly limit: number
}

/** The verifications of an inquiry, counted in all and by status (`unknown`: no status yet). */
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

/** Inquiries without a clock come last; ids compare byte by byte, as in the clock. */
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
export async function listInquiries(database: Database, filter: InquiryFilter): Promise<InquiryPage> {
  const { status, environment, referenceId, accountId, before, limit } = filter
  const rows = await database.prisma.$queryRawUnsafe<readonly ListedRow[]>(
    listSql,
    status ?? null,
    environment ?? null,
    referenceId ?? null,
    accountId ?? null,
    before?.id ?? null,
    before?.eventCreatedAt?.toISOString() ?? null,
    before?.eventRank ?? null,
    before?.eventId ?? null,
    // One more row shows whether there is a next page.
    limit + 1,
  )
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return {
    inquiries: page.map(toItem),
    next: rows.length > limit && last !== undefined ? cursorAfter(last) : null,
  }
}
