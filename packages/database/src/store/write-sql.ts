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

type ColumnGroups = readonly [snapshot: ColumnGroup, identity: ColumnGroup, status: ColumnGroup, claim: ColumnGroup]

function columnGroups(table: ProjectionTable): ColumnGroups {
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

/** Whether the inquiry that a public column names would change with the claim; null where no column shows the claim. */
function showsClaim({ family, claimColumn }: ProjectionTable): string | null {
  const differs = `excluded.${quoted(claimColumn)} IS DISTINCT FROM stored.${quoted(claimColumn)}`
  if (family === 'inquiry') return null
  return family === 'verification' ? differs : `belongs_to_inquiry(stored."type") AND ${differs}`
}

/**
 * SQL: whether an upsert changes a public column. A newer snapshot does, by its event. Other clocks may move
 * while the values stay.
 *
 * @see docs/contract.md#4-database-postgresql-schema-public
 */
function changesRow(table: ProjectionTable): string {
  const [snapshot, identity, status, claim] = columnGroups(table)
  const differs = (names: readonly string[]) =>
    names.map((name) => `excluded.${quoted(name)} IS DISTINCT FROM stored.${quoted(name)}`).join(' OR ')
  const shown = showsClaim(table)
  return [
    snapshot.condition,
    `(${identity.condition} AND (${differs(table.hasType ? ['environment', 'type'] : ['environment'])}))`,
    `(${status.condition} AND ${differs(['status'])})`,
    ...(shown === null ? [] : [`(${claim.condition} AND ${shown})`]),
  ].join(' OR ')
}

/** The version goes on where a row was removed. Few databases have such rows, so that most statements look for one once. */
const newVersionSql =
  `CASE WHEN (SELECT EXISTS (SELECT FROM "removed_objects")) THEN 1 + COALESCE((SELECT removed."version" ` +
  `FROM "removed_objects" removed WHERE removed."id" = sent."id"), 0) ELSE 1 END`

/** Columns that a statement sets which announces its own changes, and their values in a new and in a stored row. */
function announcedColumns(table: ProjectionTable): readonly { name: string; inserted: string; updated: string }[] {
  const changed = `(${changesRow(table)})`
  return [
    {
      name: 'version',
      inserted: newVersionSql,
      updated: `stored."version" + ${changed}::int`,
    },
    { name: 'was_changed', inserted: 'true', updated: changed },
    { name: 'previous_status', inserted: 'NULL', updated: 'stored."status"' },
  ]
}

/**
 * How the changes of an upsert are announced. `by-statement`: the statement writes them, which costs the least. `by-trigger`:
 * the database does so when the transaction commits, since another statement of it may change the same row.
 */
export type Announced = 'by-statement' | 'by-trigger'

/**
 * The upsert of one projection. Each group of columns changes where its clock is greater than the stored one, so that
 * statements commute. `parameter` holds the rows as JSON text; `gate` comes first. Returns each written row.
 */
export function upsertSql(table: ProjectionTable, parameter: string, announced: Announced): string {
  const columns = sentColumns(table)
  const names = columns.map(([name]) => quoted(name))
  const groups = columnGroups(table)
  const own = announced === 'by-statement' ? announcedColumns(table) : []
  const assignments = groups.flatMap(({ condition, columns: group }) =>
    group.map(
      ([name]) =>
        `${quoted(name)} = CASE WHEN ${condition} THEN excluded.${quoted(name)} ELSE stored.${quoted(name)} END`,
    ),
  )
  return [
    `INSERT INTO ${quoted(table.name)} AS stored (${[...names, ...own.map(({ name }) => name)].join(', ')})`,
    `SELECT ${[...names.map((name) => `sent.${name}`), ...own.map(({ inserted }) => inserted)].join(', ')} ` +
      `FROM gate, jsonb_to_recordset(${parameter}::jsonb) AS sent(${columns.map(([name, type]) => `${quoted(name)} ${type}`).join(', ')})`,
    `ON CONFLICT ("id") DO UPDATE SET ${[...assignments, ...own.map(({ name, updated }) => `${name} = ${updated}`)].join(', ')}`,
    `WHERE ${groups.map((group) => group.condition).join(' OR ')}`,
    `RETURNING stored."id", stored."event_id"${own.length === 0 ? '' : ', ' + returnedSql(table)}`,
  ].join('\n')
}

/** Facts of a written row for `changes`. */
function returnedSql({ family }: ProjectionTable): string {
  const inquiry = family === 'inquiry' ? 'id' : 'inquiry_id'
  return `stored."was_changed", stored."version", stored."${inquiry}" AS "of_inquiry", stored."status", stored."previous_status"`
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
  'reduced',
] as const
export type WriteSection = (typeof writeSections)[number]

/** The epoch of the plan. Where the stored epoch has moved, nothing is written (SQLSTATE PI001). */
const gateParameter = `$${writeSections.length + 1}`
const parameter = (section: WriteSection): string => `$${writeSections.indexOf(section) + 1}`

/** Why a batch changes rows: deliveries, or what an operator has asked to process again. */
export type StoreCause = 'event' | 'replay'

/**
 * Announces the rows that {@link upsertSql} changed. A number of `changes` is drawn under the lock of its row. A snapshot
 * that was reduced when it arrived is a redaction.
 */
function changesSql(cause: StoreCause): string {
  const causeSql = `CASE WHEN (w."id", w."event_id") IN (SELECT r."id", r."event_id" FROM reduced r) THEN 'redaction' ELSE '${cause}' END`
  const changed = Object.values(projectionTables).map(
    ({ name, family }) =>
      `SELECT '${family}', w."id", w."of_inquiry", w."version", ${causeSql}, w."event_id", w."status", ` +
      `w."previous_status", feed."slot" FROM ${name}_written w, feed WHERE w."was_changed"`,
  )
  return `, feed AS MATERIALIZED (SELECT "slot" FROM "change_feed" WHERE "id" = 1
), changes_written AS (
INSERT INTO "changes" ("family", "object_id", "inquiry_id", "version", "cause", "event_id", "status", "previous_status", "slot")
${changed.join('\nUNION ALL ')}
)`
}

/** All that is written besides the log. */
function writtenSql(announced: Announced, cause: StoreCause): string {
  return `
WITH gate AS MATERIALIZED (
SELECT begin_shared_write(${gateParameter}::text::bigint) AS opened
), inquiries_written AS (
${upsertSql(projectionTables.inquiry, parameter('inquiry'), announced)}
), verifications_written AS (
${upsertSql(projectionTables.verification, parameter('verification'), announced)}
), resources_written AS (
${upsertSql(projectionTables.resource, parameter('resource'), announced)}
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
), reduced AS (
SELECT sent.* FROM jsonb_to_recordset(${parameter('reduced')}::jsonb) AS sent("id" text, "event_id" text)
)${announced === 'by-statement' ? changesSql(cause) : ''}`
}

/**
 * Calls a function, because its statements see newer commits than the snapshot of this statement: another transaction may
 * have written a dead letter meanwhile. It runs after the insert of the events, so that one transaction sees the other.
 */
function resolvedSql(events: string): string {
  return `resolved AS MATERIALIZED (SELECT resolve_dead_letters(array_agg("id")) FROM ${events})`
}

const outcomeSql = `CASE WHEN written."id" IS NULL THEN 'stale' ELSE 'applied' END`

const loggedSql = `, events_written AS (
INSERT INTO "events" ("id", "environment", "name", "created_at", "rank", "resource_type", "resource_id", "inquiry_id",
  "status", "payload", "original_body", "received_at", "processed_at", "outcome")
SELECT e."id", e."environment", e."name", e."created_at", e."rank", e."resource_type", e."resource_id", e."inquiry_id",
  e."status", e."payload", e."original_body", e."received_at", clock_timestamp(),
  ${outcomeSql}
FROM sent_events e LEFT JOIN written ON written."id" = e."resource_id" AND written."event_id" = e."id"
RETURNING "id", "outcome"
), ${resolvedSql('events_written')}
SELECT events_written."id", events_written."outcome" FROM events_written, resolved`

const replayedSql = `, ${resolvedSql('sent_events')}
SELECT e."id", ${outcomeSql} AS "outcome"
FROM resolved, sent_events e LEFT JOIN written ON written."id" = e."resource_id" AND written."event_id" = e."id"`

function statementSql(announced: Announced, cause: StoreCause, isInLog: boolean): string {
  return keepPrepared(writtenSql(announced, cause) + (isInLog ? replayedSql : loggedSql))
}

type Statements = Readonly<Record<Announced, string>>
const statements = (cause: StoreCause, isInLog: boolean): Statements => ({
  'by-statement': statementSql('by-statement', cause, isInLog),
  'by-trigger': statementSql('by-trigger', cause, isInLog),
})
const newEvents: Readonly<Record<StoreCause, Statements>> = {
  event: statements('event', false),
  replay: statements('replay', false),
}
const eventsOfLog = statements('replay', true)

/**
 * The statement that writes a whole batch: one round trip, and one plan that stays prepared.
 *
 * `events` is a plain insert. An id that another worker stored meanwhile ends the transaction (SQLSTATE 23505), and the
 * batch is read and written again. The upserts decide on the outcome of an event. Rows of events that are in the log
 * already (`isReplay`) stay.
 */
export function writeSqlFor(options: {
  readonly announced: Announced
  readonly cause: StoreCause
  readonly isReplay: boolean
}): string {
  const { announced, cause, isReplay } = options
  return (isReplay ? eventsOfLog : newEvents[cause])[announced]
}

/** The usual statement: new events, and no other statement in its transaction. */
export const writeSql = writeSqlFor({ announced: 'by-statement', cause: 'event', isReplay: false })
