import {
  claimColumns,
  clockColumns,
  sentColumns,
  type ClockPrefix,
  type Column,
  type ProjectionTable,
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

/** The columns a row takes over together, and the condition under which it does. */
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
    // A row that gets a snapshot is sent without a reference: what the references said ends.
    { condition: `(${newerSnapshot} OR ${newerReference})`, columns: [...identity, ...clockColumns('reference')] },
    { condition: isNewer('status'), columns: [['status', 'text'], ...clockColumns('status')] },
    {
      condition: isNewer('claim', ['claim_strength', table.claimColumn]),
      columns: claimColumns(table.claimColumn),
    },
  ]
}

/**
 * The upsert of one projection: each group of columns is taken over where its clock is newer than the stored one, so
 * that statements commute. `parameter` holds the rows as a JSON text; nothing is written before `gate` has opened. Returns each row written and its snapshot's event.
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
