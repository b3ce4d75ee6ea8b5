import {
  type Clock,
  type JsonValue,
  type ObjectFamily,
  type ObjectState,
  type Snapshot,
  stringifyExact,
} from '@persona-ingest/persona'

import { isoTime, PersonalJson, RawJson, type Row } from '../sql/rows.ts'
import { clockColumns, projectionTables, type ClockPrefix } from '../tables.ts'

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
