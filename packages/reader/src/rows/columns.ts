/** Any JSON value of a stored document, as `JSON.parse` gives it. Keys are in snake_case, as they are stored. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue }

type ValueOf = {
  readonly id: string
  readonly environment: 'production' | 'sandbox'
  readonly text: string | null
  readonly number: number | null
  readonly version: bigint
  readonly time: Date | null
  readonly texts: readonly string[]
  readonly document: JsonValue
}
export type ColumnKind = keyof ValueOf
/** Columns by the camelCase names of their members. */
export type Columns = Readonly<Record<string, ColumnKind>>

const object = { id: 'id', environment: 'environment', version: 'version', status: 'text' } as const
const linked = { ...object, inquiryId: 'text', type: 'text' } as const
/** The event whose snapshot the row holds. */
const event = { eventId: 'text', eventName: 'text', eventCreatedAt: 'time', eventRank: 'number' } as const
const documents = { attributes: 'document', relationships: 'document' } as const

/** `columns`: what a list gives. `documents`: what a look-up gives besides. */
export type Table = {
  readonly name: 'inquiries' | 'verifications' | 'resources'
  readonly columns: Columns
  readonly documents: Columns
}

/** @see docs/contract.md#4-database-postgresql-schema-public */
export const inquiries = {
  name: 'inquiries',
  columns: {
    ...object,
    referenceId: 'text',
    accountId: 'text',
    templateId: 'text',
    templateVersionId: 'text',
    tags: 'texts',
    createdAt: 'time',
    updatedAt: 'time',
    startedAt: 'time',
    completedAt: 'time',
    failedAt: 'time',
    markedForReviewAt: 'time',
    decisionedAt: 'time',
    expiredAt: 'time',
    redactedAt: 'time',
    ...event,
  },
  documents: { ...documents, fields: 'document' },
} as const satisfies Table

export const verifications = {
  name: 'verifications',
  columns: {
    ...linked,
    countryCode: 'text',
    createdAt: 'time',
    submittedAt: 'time',
    completedAt: 'time',
    redactedAt: 'time',
    ...event,
  },
  documents: { ...documents, checks: 'document' },
} as const satisfies Table

export const resources = { name: 'resources', columns: { ...linked, ...event }, documents } as const satisfies Table

type RowOf<C extends Columns> = { readonly [Name in keyof C]: ValueOf[C[Name]] }

/** A row of `inquiries`; `version` is that of its newest change. */
export type Inquiry = RowOf<(typeof inquiries)['columns']>
/** A row of `verifications`. */
export type Verification = RowOf<(typeof verifications)['columns']>
/** A row of `resources`. */
export type Resource = RowOf<(typeof resources)['columns']>

export type VerificationDetails = Verification & RowOf<(typeof verifications)['documents']>
export type ResourceDetails = Resource & RowOf<(typeof resources)['documents']>
export type InquiryDetails = Inquiry &
  RowOf<(typeof inquiries)['documents']> & {
    /** Oldest first, as they stood at the same moment. */
    readonly verifications: readonly VerificationDetails[]
  }

/** The name of a column in SQL. */
export function columnName(member: string): string {
  return member.replaceAll(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)
}
