import { upsertObjectsSql, upsertRedactionsSql } from '../redaction/plan-redaction.ts'
import { keepPrepared } from '../sql/executor.ts'
import {
  claimColumns,
  clockColumns,
  type ClockPrefix,
  type Column,
  type ProjectionTable,
  projectionTables,
  sentColumns,
} from '../tables.ts'

const quoted = (name: string): string => `"${name}"`

function clockTuple(source: 'excluded' | 'stored', prefix: ClockPrefix): string {
  return clockColumns(prefix)
    .map(([name]) => `${source}.${quoted(name)}`)
    .join(', ')
}

function isNewer(prefix: ClockPrefix, ties: readonly string[] = []): string {
  const eventId = quoted(prefix === 'event' ? 'event_id' : `${prefix}_event_id`)
  const tuple = (source: 'excluded' | 'stored'): string =>
    [clockTuple(source, prefix), ...ties.map((name) => `${source}.${quoted(name)}`)].join(', ')
  return (
    `(excluded.${eventId} IS NOT NULL AND ` +
    `(stored.${eventId} IS NULL OR (${tuple('excluded')}) > (${tuple('stored')})))`
  )
}

/** Columns that change together, and the condition for it. */
type ColumnGroup = { readonly condition: string; readonly columns: readonly Column[] }

function columnGroups(table: ProjectionTable): readonly ColumnGroup[] {
  const newerSnapshot = isNewer('event')
  const newerReference = `(stored."event_id" IS NULL AND ${isNewer('reference')})`
  const identity: readonly Column[] = table.hasType
    ? [
        ['environment', 'text'],
        ['type', 'text'],
      ]
    : [['environment', 'text']]
  return [
    { condition: newerSnapshot, columns: [...table.snapshotColumns, ...clockColumns('event')] },
    // A row with a snapshot is sent without a reference, which clears the columns of the reference.
    { condition: `(${newerSnapshot} OR ${newerReference})`, columns: [...identity, ...clockColumns('reference')] },
    { condition: isNewer('status'), columns: [['status', 'text'], ...clockColumns('status')] },
    {
      condition: isNewer('claim', ['claim_strength', table.claimColumn]),
      columns: claimColumns(table.claimColumn),
    },
  ]
}

/**
 * The upsert of one projection. Each group of columns changes where its clock is greater than the stored one, so that
 * statements commute. `parameter` holds the rows as JSON text; `gate` comes first. Returns each written row's id and event.
 */
export function upsertSql(table: ProjectionTable, parameter: string): string {
  const columns = sentColumns(table)
  const names = columns.map(([name]) => quoted(name)).join(', ')
  const groups = columnGroups(table)
  const assignments = groups.flatMap(({ condition, columns: group }) =>
    group.map(
      ([name]) =>
        `${quoted(name)} = CASE WHEN ${condition} THEN excluded.${quoted(name)} ELSE stored.${quoted(name)} END`,
    ),
  )
  return [
    `INSERT INTO ${quoted(table.name)} AS stored (${names})`,
    `SELECT ${names} FROM gate, jsonb_to_recordset(${parameter}::jsonb) AS sent(${columns.map(([name, type]) => `${quoted(name)} ${type}`).join(', ')})`,
    `ON CONFLICT ("id") DO UPDATE SET ${assignments.join(', ')}`,
    `WHERE ${groups.map((group) => group.condition).join(' OR ')}`,
    `RETURNING stored."id", stored."event_id"`,
  ].join('\n')
}

/** The parameters of {@link writeSql}, in their order: each a JSON text of rows. */
export const writeSections = [
  'events',
  'objects',
  'claims',
  'eventObjects',
  'inquiry',
  'verification',
  'resource',
  'redactions',
] as const
export type WriteSection = (typeof writeSections)[number]

/** The epoch of the plan. Where the stored epoch has moved, nothing is written (SQLSTATE PI001). */
const gateParameter = `$${writeSections.length + 1}`
const parameter = (section: WriteSection): string => `$${writeSections.indexOf(section) + 1}`

const everythingButEventsSql = `
WITH gate AS MATERIALIZED (
SELECT begin_shared_write(${gateParameter}::text::bigint) AS opened
), inquiries_written AS (
${upsertSql(projectionTables.inquiry, parameter('inquiry'))}
), verifications_written AS (
${upsertSql(projectionTables.verification, parameter('verification'))}
), resources_written AS (
${upsertSql(projectionTables.resource, parameter('resource'))}
), written AS (
SELECT "id", "event_id" FROM inquiries_written
UNION ALL SELECT "id", "event_id" FROM verifications_written
UNION ALL SELECT "id", "event_id" FROM resources_written
), objects_written AS (
${upsertObjectsSql(parameter('objects'))}
), claims_written AS (
INSERT INTO "claims" ("inquiry_id", "object_id")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('claims')}::jsonb) AS sent("inquiry_id" text, "object_id" text)
ON CONFLICT DO NOTHING
), event_objects_written AS (
INSERT INTO "event_objects" ("object_id", "event_id")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('eventObjects')}::jsonb) AS sent("object_id" text, "event_id" text)
ON CONFLICT DO NOTHING
), redactions_written AS (
${upsertRedactionsSql(parameter('redactions'))}
), sent_events AS MATERIALIZED (
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('events')}::jsonb) AS sent(
  "id" text, "environment" text, "name" text, "created_at" timestamptz, "rank" smallint, "resource_type" text,
  "resource_id" text, "inquiry_id" text, "status" text, "payload" jsonb, "original_body" bytea,
  "received_at" timestamptz)
)`

/**
 * Calls a function, because its statements see newer commits than the snapshot of this statement: another transaction may
 * have written a dead letter meanwhile. It runs after the insert of the events, so that one transaction sees the other.
 */
function resolvedSql(events: string): string {
  return `resolved AS MATERIALIZED (SELECT resolve_dead_letters(array_agg("id")) FROM ${events})`
}

const outcomeSql = `CASE WHEN written."id" IS NULL THEN 'stale' ELSE 'applied' END`

/**
 * Writes a whole batch in one statement: one round trip, and one plan that stays prepared.
 *
 * `events` is a plain insert. An id that another worker stored meanwhile ends the transaction (SQLSTATE 23505), and the
 * batch is read and written again. The upserts decide on the outcome of an event.
 */
export const writeSql = keepPrepared(`${everythingButEventsSql}, events_written AS (
INSERT INTO "events" ("id", "environment", "name", "created_at", "rank", "resource_type", "resource_id", "inquiry_id",
  "status", "payload", "original_body", "received_at", "processed_at", "outcome")
SELECT e."id", e."environment", e."name", e."created_at", e."rank", e."resource_type", e."resource_id", e."inquiry_id",
  e."status", e."payload", e."original_body", e."received_at", clock_timestamp(),
  ${outcomeSql}
FROM sent_events e LEFT JOIN written ON written."id" = e."resource_id" AND written."event_id" = e."id"
RETURNING "id", "outcome"
), ${resolvedSql('events_written')}
SELECT events_written."id", events_written."outcome" FROM events_written, resolved`)

/** {@link writeSql} for events of the log: their rows in the log stay. */
export const replaySql = `${everythingButEventsSql}, ${resolvedSql('sent_events')}
SELECT e."id", ${outcomeSql} AS "outcome"
FROM resolved, sent_events e LEFT JOIN written ON written."id" = e."resource_id" AND written."event_id" = e."id"`
