import type { Environment, JsonValue } from '@persona-ingest/persona'

// Rows keep the column names of the tables, so that whatever prints them as JSON says the same.
// @see docs/contract.md#4-database-postgresql-schema-public

/** The event whose snapshot a row holds; all null where the object is known by reference only. */
export type EventColumns = {
  readonly event_id: string | null
  readonly event_name: string | null
  readonly event_created_at: Date | null
  readonly event_rank: number | null
}

/** A row of `inquiries`. @see docs/contract.md#4-database-postgresql-schema-public */
export type InquiryRow = EventColumns & {
  readonly id: string
  readonly environment: Environment
  readonly status: string | null
  readonly reference_id: string | null
  readonly account_id: string | null
  readonly template_id: string | null
  readonly template_version_id: string | null
  readonly tags: readonly string[]
  readonly created_at: Date | null
  readonly updated_at: Date | null
  readonly started_at: Date | null
  readonly completed_at: Date | null
  readonly failed_at: Date | null
  readonly marked_for_review_at: Date | null
  readonly decisioned_at: Date | null
  readonly expired_at: Date | null
  readonly redacted_at: Date | null
  readonly attributes: JsonValue
  readonly fields: JsonValue
  readonly relationships: JsonValue
}

/** A row of `verifications`. @see docs/contract.md#4-database-postgresql-schema-public */
export type VerificationRow = EventColumns & {
  readonly id: string
  readonly environment: Environment
  readonly inquiry_id: string | null
  readonly type: string | null
  readonly status: string | null
  readonly country_code: string | null
  readonly created_at: Date | null
  readonly submitted_at: Date | null
  readonly completed_at: Date | null
  readonly redacted_at: Date | null
  readonly checks: JsonValue
  readonly attributes: JsonValue
  readonly relationships: JsonValue
}

/** A row of `resources`. @see docs/contract.md#4-database-postgresql-schema-public */
export type ResourceRow = EventColumns & {
  readonly id: string
  readonly environment: Environment
  readonly type: string | null
  readonly status: string | null
  readonly inquiry_id: string | null
  readonly attributes: JsonValue
  readonly relationships: JsonValue
}
