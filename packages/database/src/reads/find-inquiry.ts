import { parseExact } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import type { KeyRing } from '@persona-ingest/core'
import { decryptDocument, type EncryptedTable } from '../sql/row-values.ts'
import { documentColumnNames, projectionTables, selectedColumns } from '../tables.ts'
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

const { inquiry, verification, resource } = projectionTables

const inquirySql = `
SELECT id, environment, status, ${selectedColumns(inquiry)}, ${EVENT_COLUMNS}
FROM inquiries WHERE id = $1`

const verificationsSql = `
SELECT id, environment, inquiry_id, type, status, ${selectedColumns(verification)}, ${EVENT_COLUMNS}
FROM verifications WHERE inquiry_id = $1 ORDER BY created_at NULLS LAST, id`

const resourcesSql = `
SELECT id, environment, type, status, inquiry_id, ${selectedColumns(resource)}, ${EVENT_COLUMNS}
FROM resources WHERE inquiry_id = $1 ORDER BY type NULLS LAST, id`

/** A row whose documents are JSON texts. */
type RawRow = Readonly<Record<string, unknown>>

function withDocuments(raw: RawRow, table: EncryptedTable, keys: KeyRing): RawRow {
  const columns = documentColumnNames.filter((column) => typeof raw[column] === 'string')
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
  const [row] = inquiries
  if (row === undefined) return null
  const keys = database.keys
  return {
    inquiry: withDocuments(row, 'inquiries', keys) as InquiryRow,
    verifications: verifications.map((each) => withDocuments(each, 'verifications', keys) as VerificationRow),
    resources: resources.map((each) => withDocuments(each, 'resources', keys) as ResourceRow),
  }
}
