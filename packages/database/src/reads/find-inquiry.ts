import { parseExact } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import type { KeyRing } from '@persona-ingest/core'
import { decryptDocument, type EncryptedTable } from '../sql/encrypted-values.ts'
import type { InquiryRow, ResourceRow, VerificationRow } from './rows.ts'

/** An inquiry with all that is linked to it. */
export type InquiryDetails = {
  readonly inquiry: InquiryRow
  /** Oldest first. */
  readonly verifications: readonly VerificationRow[]
  /** Every other linked object, by type. */
  readonly resources: readonly ResourceRow[]
}

const EVENT_COLUMNS = 'event_id, event_name, event_created_at, event_rank'

const inquirySql = `
SELECT id, environment, status, reference_id, account_id, template_id, template_version_id, tags, created_at, updated_at,
  started_at, completed_at, failed_at, marked_for_review_at, decisioned_at, expired_at, redacted_at,
  attributes::text AS attributes, fields::text AS fields, relationships::text AS relationships, ${EVENT_COLUMNS}
FROM inquiries WHERE id = $1`

const verificationsSql = `
SELECT id, environment, inquiry_id, type, status, country_code, created_at, submitted_at, completed_at, redacted_at,
  checks::text AS checks, attributes::text AS attributes, relationships::text AS relationships, ${EVENT_COLUMNS}
FROM verifications WHERE inquiry_id = $1 ORDER BY created_at NULLS LAST, id`

const resourcesSql = `
SELECT id, environment, type, status, inquiry_id, attributes::text AS attributes, relationships::text AS relationships,
  ${EVENT_COLUMNS}
FROM resources WHERE inquiry_id = $1 ORDER BY type NULLS LAST, id`

const DOCUMENT_COLUMNS = ['attributes', 'fields', 'checks', 'relationships']

/** A row whose documents are JSON text still. */
type RawRow = Readonly<Record<string, unknown>>

function withDocuments(raw: RawRow, table: EncryptedTable, keys: KeyRing): RawRow {
  const columns = DOCUMENT_COLUMNS.filter((column) => typeof raw[column] === 'string')
  const documents = columns.map((column) => {
    const text = decryptDocument(String(raw[column]), [table, String(raw['id']), column], keys)
    return [column, parseExact(text)] as const
  })
  return { ...raw, ...Object.fromEntries(documents) }
}

/** Reads an inquiry, its verifications and its other objects as they stood at one moment; null where there is none. */
export async function findInquiry(database: Database, id: string): Promise<InquiryDetails | null> {
  const [inquiries, verifications, resources] = await database.prisma.$transaction(
    [
      database.prisma.$queryRawUnsafe<readonly RawRow[]>(inquirySql, id),
      database.prisma.$queryRawUnsafe<readonly RawRow[]>(verificationsSql, id),
      database.prisma.$queryRawUnsafe<readonly RawRow[]>(resourcesSql, id),
    ],
    { isolationLevel: 'RepeatableRead' },
  )
  const [inquiry] = inquiries
  if (inquiry === undefined) return null
  const keys = database.keys
  return {
    inquiry: withDocuments(inquiry, 'inquiries', keys) as InquiryRow,
    verifications: verifications.map((row) => withDocuments(row, 'verifications', keys) as VerificationRow),
    resources: resources.map((row) => withDocuments(row, 'resources', keys) as ResourceRow),
  }
}
