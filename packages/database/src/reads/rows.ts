import type { ColumnOf, Environment, JsonValue, ObjectFamily } from '@persona-ingest/persona'

// Rows keep the column names of the tables, so that JSON output has them too.
// @see docs/contract.md#4-database-postgresql-schema-public

/** The event whose snapshot a row holds; all null where the object is known by reference only. */
export type EventColumns = {
  readonly event_id: string | null
  readonly event_name: string | null
  readonly event_created_at: Date | null
  readonly event_rank: number | null
}

type ValueOf = {
  readonly text: string | null
  readonly related: string | null
  readonly time: Date | null
  readonly texts: readonly string[]
  readonly object: JsonValue
  readonly list: JsonValue
}
/** The columns that `packages/persona` describes, by name. */
type SnapshotRow<Family extends ObjectFamily> = {
  readonly [Column in ColumnOf<Family> as Column['name']]: ValueOf[Column['kind']]
}
type ObjectRow = EventColumns & {
  readonly id: string
  readonly environment: Environment
  readonly status: string | null
  readonly attributes: JsonValue
  readonly relationships: JsonValue
}
type LinkedRow = ObjectRow & { readonly inquiry_id: string | null; readonly type: string | null }

/** A row of `inquiries`. @see docs/contract.md#4-database-postgresql-schema-public */
export type InquiryRow = ObjectRow & SnapshotRow<'inquiry'>

/** A row of `verifications`. @see docs/contract.md#4-database-postgresql-schema-public */
export type VerificationRow = LinkedRow & SnapshotRow<'verification'>

/** A row of `resources`. @see docs/contract.md#4-database-postgresql-schema-public */
export type ResourceRow = LinkedRow
