import {
  columnKinds,
  snapshotColumns,
  stringifyExact,
  type Clock,
  type ColumnKind,
  type ColumnValue,
  type JsonValue,
  type ObjectFamily,
  type ObjectState,
  type Snapshot,
  type SnapshotColumn,
} from '@persona-ingest/persona'

import { isoTime, PersonalJson, RawJson, type Row, type RowValue } from '../sql/row-values.ts'
import { clockColumns, projectionTables, type ClockPrefix } from '../tables.ts'

function json(value: JsonValue): RawJson {
  return new RawJson(stringifyExact(value))
}

function clockNames(prefix: ClockPrefix): readonly [time: string, rank: string, eventId: string] {
  return clockColumns(prefix).map(([name]) => name) as [string, string, string]
}

/** Names of clock columns, made once: each row has four clocks. */
const CLOCK_NAMES: Readonly<Record<ClockPrefix, ReturnType<typeof clockNames>>> = {
  event: clockNames('event'),
  status: clockNames('status'),
  claim: clockNames('claim'),
  reference: clockNames('reference'),
}

function clockOf(prefix: ClockPrefix, clock: Clock | null): Row {
  if (clock === null) return {}
  const [time, rank, eventId] = CLOCK_NAMES[prefix]
  return { [time]: isoTime(clock.createdAtMs), [rank]: clock.rank, [eventId]: clock.eventId }
}

/** How the value of each kind of column is sent. */
const ENCODERS: Readonly<Record<ColumnKind, (value: ColumnValue) => RowValue>> = {
  text: (value) => value as string | null,
  related: (value) => value as string | null,
  time: (value) => (value === null ? null : isoTime(value as number)),
  texts: (value) => value as readonly string[],
  object: (value) => json(value as JsonValue),
  list: (value) => json(value as JsonValue),
}

type ColumnEncoder = {
  readonly name: string
  readonly isEncrypted: boolean
  readonly encode: (value: ColumnValue) => RowValue
  readonly empty: RowValue
}

function columnEncoder({ name, kind, isEncrypted = false }: SnapshotColumn): ColumnEncoder {
  const encode = ENCODERS[kind]
  return { name, isEncrypted, encode, empty: encode(columnKinds[kind].empty) }
}

const COLUMN_ENCODERS: Readonly<Record<ObjectFamily, readonly ColumnEncoder[]>> = {
  inquiry: snapshotColumns.inquiry.map(columnEncoder),
  verification: snapshotColumns.verification.map(columnEncoder),
  resource: snapshotColumns.resource.map(columnEncoder),
}

function snapshotValues(id: string, { family, attributes, relationships, columns }: Snapshot): Row {
  const { name: table } = projectionTables[family]
  const encrypted = (column: string, value: ColumnValue) =>
    new PersonalJson(stringifyExact(value as JsonValue), [table, id, column])
  const row: Record<string, RowValue> = {
    attributes: encrypted('attributes', attributes),
    relationships: json(relationships),
  }
  for (const { name, isEncrypted, encode } of COLUMN_ENCODERS[family]) {
    const value = columns[name] ?? null
    row[name] = isEncrypted ? encrypted(name, value) : encode(value)
  }
  return row
}

/** The values of an object that is known by reference only. */
function emptyValues(family: ObjectFamily): Row {
  const row: Record<string, RowValue> = { attributes: new RawJson('{}'), relationships: new RawJson('{}') }
  for (const { name, empty } of COLUMN_ENCODERS[family]) row[name] = empty
  return row
}

function claimValues(family: ObjectFamily, state: ObjectState): Row {
  const { claimColumn } = projectionTables[family]
  return {
    [claimColumn]: state.claim?.inquiryId ?? null,
    claim_strength: state.claim?.strength ?? null,
    ...clockOf('claim', state.claim?.clock ?? null),
  }
}

/**
 * Returns the row that an upsert sends for an object. `family` is the table that holds the object; a snapshot of another
 * family is not sent.
 */
export function projectionRow(family: ObjectFamily, state: ObjectState): Row {
  const snapshot = state.snapshot?.value.family === family ? state.snapshot : null
  // A snapshot replaces the type and environment that references gave.
  const reference = snapshot === null ? state.reference : null
  return {
    id: state.id,
    environment: (snapshot ?? reference ?? state.snapshot)?.environment ?? null,
    status: state.status?.value ?? null,
    type: snapshot === null ? (reference?.type ?? null) : snapshot.value.type,
    ...(snapshot === null ? emptyValues(family) : snapshotValues(state.id, snapshot.value)),
    event_name: snapshot?.eventName ?? null,
    ...clockOf('event', snapshot?.clock ?? null),
    ...clockOf('status', state.status?.clock ?? null),
    ...clockOf('reference', reference?.clock ?? null),
    ...claimValues(family, state),
  }
}
