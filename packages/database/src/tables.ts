import {
  columnKinds,
  compareBytes,
  snapshotColumns,
  type ColumnKind,
  type ObjectFamily,
  type SnapshotColumn,
} from '@persona-ingest/persona'
import type { EncryptedTable } from './sql/row-values.ts'

/** A column's name, and its SQL type for `jsonb_to_recordset`. */
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

/** SQL facts of each kind of column: its type, and the value without a snapshot as an SQL literal. */
const SQL_KINDS: Readonly<Record<ColumnKind, { readonly type: string; readonly empty: string }>> = {
  text: { type: 'text', empty: 'NULL' },
  time: { type: 'timestamptz', empty: 'NULL' },
  texts: { type: 'text[]', empty: `'{}'` },
  object: { type: 'jsonb', empty: `'{}'` },
  list: { type: 'jsonb', empty: `'[]'` },
  related: { type: 'text', empty: 'NULL' },
}

export type ProjectionTable = {
  readonly name: 'inquiries' | 'verifications' | 'resources'
  readonly family: ObjectFamily
  /** Columns that hold a snapshot's values: they change together. */
  readonly snapshotColumns: readonly Column[]
  /** Columns that are never null, with the SQL literal that a row without a snapshot has. */
  readonly emptyValues: readonly EmptyValue[]
  /** Columns that a redaction empties, with the SQL literal that it leaves; `attributes` and `relationships` besides. */
  readonly redactedValues: readonly EmptyValue[]
  /** Columns whose documents are encrypted where there are keys. */
  readonly encryptedColumns: readonly string[]
  /** The column of the inquiry that the newest claim names. */
  readonly claimColumn: string
  /** Whether a row has a `type` of its own. */
  readonly hasType: boolean
}
type EmptyValue = readonly [column: string, sql: string]

const documentColumns: readonly Column[] = [
  ['attributes', 'jsonb'],
  ['relationships', 'jsonb'],
  ['event_name', 'text'],
]

function projectionTable(
  family: ObjectFamily,
  rest: Pick<ProjectionTable, 'name' | 'claimColumn' | 'hasType'>,
): ProjectionTable {
  const columns = snapshotColumns[family]
  const emptyOf = ({ name, kind }: SnapshotColumn): EmptyValue => [name, SQL_KINDS[kind].empty]
  return {
    ...rest,
    family,
    snapshotColumns: [...columns.map(({ name, kind }): Column => [name, SQL_KINDS[kind].type]), ...documentColumns],
    emptyValues: columns.filter(({ kind }) => columnKinds[kind].empty !== null).map(emptyOf),
    redactedValues: columns.filter(({ kind }) => columnKinds[kind].isPersonal).map(emptyOf),
    encryptedColumns: [
      'attributes',
      ...columns.filter(({ isEncrypted }) => isEncrypted === true).map(({ name }) => name),
    ],
  }
}

/** One description per projection, derived from the columns of `packages/persona`. */
export const projectionTables: Readonly<Record<ObjectFamily, ProjectionTable>> = {
  // An inquiry may be reported as a verification later: a claim outlives a change of type.
  inquiry: projectionTable('inquiry', { name: 'inquiries', claimColumn: 'claim_inquiry_id', hasType: false }),
  verification: projectionTable('verification', { name: 'verifications', claimColumn: 'inquiry_id', hasType: true }),
  resource: projectionTable('resource', { name: 'resources', claimColumn: 'claim_inquiry_id', hasType: true }),
}

export const families = ['inquiry', 'verification', 'resource'] as const satisfies readonly ObjectFamily[]

/** The columns whose documents are encrypted where there are keys, by table. */
export const encryptedColumns: readonly (readonly [table: EncryptedTable, column: string])[] = [
  ['events', 'payload'],
  ...Object.values(projectionTables).flatMap(({ name, encryptedColumns: columns }) =>
    columns.map((column) => [name, column] as const),
  ),
]

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

/** The columns of a snapshot for a SELECT. Documents come last, as text: JSON of any number is read exactly. */
export function selectedColumns({ snapshotColumns: columns }: ProjectionTable): string {
  const [documents, plain] = [columns.filter(isDocument), columns.filter((column) => !isDocument(column))]
  const names = plain.map(([name]) => name).filter((name) => name !== 'event_name')
  return [...names, ...documents.toSorted(byName).map(([name]) => `${name}::text AS ${name}`)].join(', ')
}

const byName = ([left]: Column, [right]: Column) => compareBytes(left, right)

function isDocument([, type]: Column): boolean {
  return type === 'jsonb'
}

/** Columns of all projections that hold JSON documents. */
export const documentColumnNames: readonly string[] = [
  ...new Set(
    Object.values(projectionTables).flatMap((table) => table.snapshotColumns.filter(isDocument).map(([name]) => name)),
  ),
].toSorted(compareBytes)
