import type { ObjectFamily } from '@persona-ingest/persona'

/** A column's name and its SQL type, as `jsonb_to_recordset` is told it. */
export type Column = readonly [name: string, type: string]

/** Three columns hold one clock: `<prefix>_created_at`, `<prefix>_rank`, `<prefix>_event_id` (`event_id` for `event`). */
export type ClockPrefix = 'event' | 'status' | 'claim' | 'reference'

export function clockColumns(prefix: ClockPrefix): readonly Column[] {
  return [
    [`${prefix}_created_at`, 'timestamptz'],
    [`${prefix}_rank`, 'smallint'],
    [prefix === 'event' ? 'event_id' : `${prefix}_event_id`, 'text'],
  ]
}

export type ProjectionTable = {
  readonly name: 'inquiries' | 'verifications' | 'resources'
  readonly family: ObjectFamily
  /** Columns that hold a snapshot's values: they change together. */
  readonly snapshotColumns: readonly Column[]
  /** The column of the inquiry that the newest claim names. */
  readonly claimColumn: string
  /** Whether a row has a `type` of its own. */
  readonly hasType: boolean
}

const documentColumns: readonly Column[] = [
  ['attributes', 'jsonb'],
  ['relationships', 'jsonb'],
  ['event_name', 'text'],
]

function times(...names: readonly string[]): readonly Column[] {
  return names.map((name) => [name, 'timestamptz'])
}

export const projectionTables: Readonly<Record<ObjectFamily, ProjectionTable>> = {
  inquiry: {
    name: 'inquiries',
    family: 'inquiry',
    // Belongs to no inquiry, but may come to be told as a verification again: a claim outlives a change of type.
    claimColumn: 'claim_inquiry_id',
    hasType: false,
    snapshotColumns: [
      ['reference_id', 'text'],
      ['account_id', 'text'],
      ['template_id', 'text'],
      ['template_version_id', 'text'],
      ['tags', 'text[]'],
      ['fields', 'jsonb'],
      ...times('created_at', 'updated_at', 'started_at', 'completed_at', 'failed_at', 'marked_for_review_at'),
      ...times('decisioned_at', 'expired_at', 'redacted_at'),
      ...documentColumns,
    ],
  },
  verification: {
    name: 'verifications',
    family: 'verification',
    claimColumn: 'inquiry_id',
    hasType: true,
    snapshotColumns: [
      ['country_code', 'text'],
      ['checks', 'jsonb'],
      ...times('created_at', 'submitted_at', 'completed_at', 'redacted_at'),
      ...documentColumns,
    ],
  },
  resource: {
    name: 'resources',
    family: 'resource',
    claimColumn: 'claim_inquiry_id',
    hasType: true,
    snapshotColumns: documentColumns,
  },
}

/** All columns that an upsert sends for a table. */
export function sentColumns(table: ProjectionTable): readonly Column[] {
  return [
    ['id', 'text'],
    ['environment', 'text'],
    ['status', 'text'],
    ...(table.hasType ? ([['type', 'text']] as const) : []),
    ...table.snapshotColumns,
    ...clockColumns('event'),
    ...clockColumns('status'),
    ...clockColumns('reference'),
    ...claimColumns(table.claimColumn),
  ]
}

export function claimColumns(claimColumn: string): readonly Column[] {
  return [[claimColumn, 'text'], ['claim_strength', 'smallint'], ...clockColumns('claim')]
}
