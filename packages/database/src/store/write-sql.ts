import { keepPrepared } from '../sql/prepared-statements.ts'
import { projectionTables } from '../tables.ts'
import { upsertSql } from './upsert-sql.ts'

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

/** The epoch that the batch was decided on: where it has moved, nothing is written (SQLSTATE PI001). */
const gateParameter = `$${writeSections.length + 1}`
const parameter = (section: WriteSection): string => `$${writeSections.indexOf(section) + 1}`

/** The newest redaction that reaches an object only ever moves forward. */
const erasedIsNewer =
  `(excluded."erased_event_id" IS NOT NULL AND ("objects"."erased_event_id" IS NULL OR ` +
  `(excluded."erased_created_at", excluded."erased_rank", excluded."erased_event_id") > ` +
  `("objects"."erased_created_at", "objects"."erased_rank", "objects"."erased_event_id")))`

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
INSERT INTO "objects" ("id", "family", "erased_event_id", "erased_created_at", "erased_rank")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('objects')}::jsonb) AS sent(
  "id" text, "family" text, "erased_event_id" text, "erased_created_at" timestamptz, "erased_rank" smallint)
ON CONFLICT ("id") DO UPDATE SET
  "erased_event_id" = excluded."erased_event_id",
  "erased_created_at" = excluded."erased_created_at",
  "erased_rank" = excluded."erased_rank"
WHERE has_other_family("objects"."family", excluded."family") OR ${erasedIsNewer}
), claims_written AS (
INSERT INTO "claims" ("inquiry_id", "object_id")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('claims')}::jsonb) AS sent("inquiry_id" text, "object_id" text)
ON CONFLICT DO NOTHING
), event_objects_written AS (
INSERT INTO "event_objects" ("object_id", "event_id")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('eventObjects')}::jsonb) AS sent("object_id" text, "event_id" text)
ON CONFLICT DO NOTHING
), redactions_written AS (
INSERT INTO "redactions" AS stored ("inquiry_id", "event_id", "created_at", "rank")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('redactions')}::jsonb) AS sent(
  "inquiry_id" text, "event_id" text, "created_at" timestamptz, "rank" smallint)
ON CONFLICT ("inquiry_id") DO UPDATE SET
  "event_id" = excluded."event_id", "created_at" = excluded."created_at", "rank" = excluded."rank"
WHERE (excluded."created_at", excluded."rank", excluded."event_id") > (stored."created_at", stored."rank", stored."event_id")
), sent_events AS MATERIALIZED (
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter('events')}::jsonb) AS sent(
  "id" text, "environment" text, "name" text, "created_at" timestamptz, "rank" smallint, "resource_type" text,
  "resource_id" text, "inquiry_id" text, "status" text, "payload" jsonb, "original_body" bytea,
  "received_at" timestamptz)
)`

/**
 * A function, since its statements see what was committed up to now: a dead letter that another transaction wrote while
 * this one waited is not in the snapshot of this statement. It runs after the events are inserted, so that one of the two
 * transactions always sees the row of the other (see the migration).
 */
function resolvedSql(events: string): string {
  return `resolved AS MATERIALIZED (SELECT resolve_dead_letters(array_agg("id")) FROM ${events})`
}

const outcomeSql = `CASE WHEN written."id" IS NULL THEN 'stale' ELSE 'applied' END`

/**
 * Everything that a batch writes, as one statement: one round trip, and one plan that stays prepared.
 *
 * `events` is a plain insert: an id that another worker stored since the batch was read ends the transaction
 * (SQLSTATE 23505), and the batch is read and written again. An event's outcome is told by what the upserts did.
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

/** {@link writeSql} for events that are in the log already: their rows in it, outcomes included, stay as they are. */
export const replaySql = `${everythingButEventsSql}, ${resolvedSql('sent_events')}
SELECT e."id", ${outcomeSql} AS "outcome"
FROM resolved, sent_events e LEFT JOIN written ON written."id" = e."resource_id" AND written."event_id" = e."id"`
