import {
  type Clock,
  type JsonValue,
  type ObjectFamily,
  type ObjectState,
  type Snapshot,
  stringifyExact,
} from '@persona-ingest/persona'

import type { KeyRing } from '@persona-ingest/core'
import { sealBytes, sealDocument, type Place } from '../sql/encrypted-values.ts'
import { clockColumns, projectionTables, type ClockPrefix } from '../tables.ts'

/** A value as `jsonb_to_recordset` reads it; JSON documents are text already and go in as they are. */
export class RawJson {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
/** A document that is sealed on its way where there are keys. */
export class PersonalJson extends RawJson {
  readonly place: Place
  constructor(text: string, place: Place) {
    super(text)
    this.place = place
  }
}
/** A body that is sealed on its way where there are keys. */
export class PersonalBytes {
  readonly bytes: Uint8Array
  readonly place: Place
  constructor(bytes: Uint8Array, place: Place) {
    this.bytes = bytes
    this.place = place
  }
}
export type RowValue = string | number | null | readonly string[] | RawJson | PersonalBytes
export type Row = Readonly<Record<string, RowValue>>

let lastTime = { milliseconds: 0, text: new Date(0).toISOString() }

/** A row holds the same clock up to four times: the last text made is kept. */
export function isoTime(milliseconds: number): string {
  if (lastTime.milliseconds !== milliseconds) lastTime = { milliseconds, text: new Date(milliseconds).toISOString() }
  return lastTime.text
}

function json(value: JsonValue): RawJson {
  return new RawJson(stringifyExact(value))
}

function clockNames(prefix: ClockPrefix): readonly [time: string, rank: string, eventId: string] {
  return clockColumns(prefix).map(([name]) => name) as [string, string, string]
}

/** Names made once: four clocks stand in every row. */
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

function isoTimes(times: Readonly<Record<string, number | null>>): Row {
  const row: Record<string, string | null> = {}
  for (const name of Object.keys(times)) {
    const time = times[name] ?? null
    row[name] = time === null ? null : isoTime(time)
  }
  return row
}

/** What a row holds of an object that is known by reference only. */
const EMPTY: Readonly<Record<ObjectFamily, Row>> = {
  inquiry: { tags: [], fields: new RawJson('{}') },
  verification: { checks: new RawJson('[]') },
  resource: {},
}
const EMPTY_DOCUMENT: Row = { attributes: new RawJson('{}'), relationships: new RawJson('{}') }

function snapshotValues(id: string, snapshot: Snapshot): Row {
  const { name: table } = projectionTables[snapshot.family]
  const personal = (column: string, value: JsonValue) => new PersonalJson(stringifyExact(value), [table, id, column])
  const document = {
    attributes: personal('attributes', snapshot.attributes),
    relationships: json(snapshot.relationships),
  }
  switch (snapshot.family) {
    case 'inquiry':
      return {
        ...document,
        reference_id: snapshot.referenceId,
        account_id: snapshot.accountId,
        template_id: snapshot.templateId,
        template_version_id: snapshot.templateVersionId,
        tags: snapshot.tags,
        fields: personal('fields', snapshot.fields),
        ...isoTimes(snapshot.times),
      }
    case 'verification':
      return {
        ...document,
        country_code: snapshot.countryCode,
        checks: json(snapshot.checks),
        ...isoTimes(snapshot.times),
      }
    case 'resource':
      return document
  }
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
 * Renders what is known of an object as the row that an upsert sends. `family` is the table that holds the object; a
 * snapshot of another family is not sent.
 */
export function projectionRow(family: ObjectFamily, state: ObjectState): Row {
  const snapshot = state.snapshot?.value.family === family ? state.snapshot : null
  // A snapshot ends what references said of type and environment.
  const reference = snapshot === null ? state.reference : null
  return {
    id: state.id,
    environment: (snapshot ?? reference ?? state.snapshot)?.environment ?? null,
    status: state.status?.value ?? null,
    type: snapshot === null ? (reference?.type ?? null) : snapshot.value.type,
    ...(snapshot === null ? { ...EMPTY_DOCUMENT, ...EMPTY[family] } : snapshotValues(state.id, snapshot.value)),
    event_name: snapshot?.eventName ?? null,
    ...clockOf('event', snapshot?.clock ?? null),
    ...clockOf('status', state.status?.clock ?? null),
    ...clockOf('reference', reference?.clock ?? null),
    ...claimValues(family, state),
  }
}

function encodeValue(value: Exclude<RowValue, null>, keys: KeyRing): string {
  if (typeof value === 'number') return String(value)
  if (value instanceof PersonalBytes) {
    const stored = Buffer.from(sealBytes(value.bytes, value.place, keys))
    return `"\\\\x${stored.toString('hex')}"`
  }
  if (value instanceof PersonalJson) return sealDocument(value.text, value.place, keys)
  return value instanceof RawJson ? value.text : JSON.stringify(value)
}

function encodeRow(row: Row, keys: KeyRing): string {
  let members = ''
  for (const name of Object.keys(row)) {
    const value = row[name]
    // What is not sent is null on the other side.
    if (value === null || value === undefined) continue
    members += members === '' ? `"${name}":` : `,"${name}":`
    members += encodeValue(value, keys)
  }
  return `{${members}}`
}

/** Encodes rows as one JSON text: a single parameter, whose documents are not escaped twice. Personal ones are sealed. */
export function encodeRows(rows: readonly Row[], keys: KeyRing): string {
  return `[${rows.map((row) => encodeRow(row, keys)).join(',')}]`
}
