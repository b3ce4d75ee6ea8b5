import type { JsonValue } from './json.ts'

/** The table of an object's row. */
export type ObjectFamily = 'inquiry' | 'verification' | 'resource'

/**
 * How a column is filled from a snapshot: `text`, `time`, `texts`, `object` and `list` take the attribute of the column's
 * name; `related` takes the id of a to-one relationship.
 */
export type ColumnKind = 'text' | 'time' | 'texts' | 'object' | 'list' | 'related'

/** A time is in Unix milliseconds. */
export type ColumnValue = JsonValue | readonly string[]

export type SnapshotColumn = {
  /** The column of the table, and the snake_case name of its attribute. */
  readonly name: string
  readonly kind: ColumnKind
  /** Only for `related`: snake_case names of relationships; the first one that names an id fills the column. */
  readonly relationships?: readonly string[]
  /** Whether the document is encrypted in PostgreSQL where there are keys. */
  readonly isEncrypted?: boolean
}

const text = <Name extends string>(name: Name) => ({ name, kind: 'text' }) as const
const times = <Name extends string>(...names: readonly Name[]) => names.map((name) => ({ name, kind: 'time' }) as const)
const related = <Name extends string>(name: Name, ...relationships: readonly string[]) =>
  ({ name, kind: 'related', relationships }) as const

/**
 * The columns that an object's attributes and relationships have besides `attributes` and `relationships`. Reading,
 * upserts, empty values, moves between tables, redaction, encryption, masking and comparison are derived from it.
 *
 * @see docs/contract.md#4-database-postgresql-schema-public
 */
const columnsOfFamilies = {
  inquiry: [
    text('reference_id'),
    related('account_id', 'account'),
    related('template_id', 'inquiry_template', 'template'),
    related('template_version_id', 'inquiry_template_version'),
    { name: 'tags', kind: 'texts' },
    { name: 'fields', kind: 'object', isEncrypted: true },
    ...times('created_at', 'updated_at', 'started_at', 'completed_at', 'failed_at', 'marked_for_review_at'),
    ...times('decisioned_at', 'expired_at', 'redacted_at'),
  ],
  verification: [
    text('country_code'),
    { name: 'checks', kind: 'list' },
    ...times('created_at', 'submitted_at', 'completed_at', 'redacted_at'),
  ],
  resource: [],
} as const satisfies Readonly<Record<ObjectFamily, readonly SnapshotColumn[]>>

export const snapshotColumns: Readonly<Record<ObjectFamily, readonly SnapshotColumn[]>> = columnsOfFamilies

/** A union of the name and kind of each column of a family, for the types of rows. */
export type ColumnOf<Family extends ObjectFamily> = (typeof columnsOfFamilies)[Family][number]

/**
 * Facts of each kind. `empty`: the value without a snapshot, and after a redaction that removes it. `isPersonal`: a redaction
 * removes the value, and displays mask it.
 */
export const columnKinds: Readonly<Record<ColumnKind, { readonly empty: ColumnValue; readonly isPersonal: boolean }>> =
  {
    text: { empty: null, isPersonal: true },
    time: { empty: null, isPersonal: false },
    texts: { empty: [], isPersonal: true },
    object: { empty: {}, isPersonal: true },
    list: { empty: [], isPersonal: true },
    related: { empty: null, isPersonal: false },
  }

/** Returns the names of a family's time columns. */
export function timeColumns(family: ObjectFamily): readonly string[] {
  return snapshotColumns[family].filter(({ kind }) => kind === 'time').map(({ name }) => name)
}
