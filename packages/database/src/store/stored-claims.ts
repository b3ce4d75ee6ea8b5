import type { SqlExecutor } from '../sql/executor.ts'

export type StoredClaim = { readonly objectId: string; readonly inquiryId: string }

/** Every claim ever stored of the given inquiries. */
export async function readStoredClaims(
  executor: SqlExecutor,
  inquiryIds: readonly string[],
): Promise<readonly StoredClaim[]> {
  return executor.query<StoredClaim>(
    'SELECT object_id AS "objectId", inquiry_id AS "inquiryId" FROM claims WHERE inquiry_id = ANY($1::text[])',
    [inquiryIds],
  )
}
