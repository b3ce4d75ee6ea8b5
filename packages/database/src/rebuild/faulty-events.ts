import type { KeyRing } from '@persona-ingest/core'
import type { PersonaEvent } from '@persona-ingest/persona'
import { readStoredEvent, seemsChanged, storedEventFields, type StoredEventRow } from '../log/stored-event.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import { encodeRows } from '../sql/row-values.ts'
import type { RowDifference } from './mend.ts'
import { SHADOW_SCHEMA } from './shadow-tables.ts'

/** Columns for {@link readLogRow} besides the payload. */
export const logRowFields =
  `${storedEventFields}, name, resource_type AS "resourceType", resource_id AS "resourceId", ` +
  '(extract(epoch FROM created_at) * 1000)::float8 AS "createdAtMs"'

export type LogRow = StoredEventRow & {
  readonly name: string
  readonly resourceType: string
  readonly resourceId: string
  readonly createdAtMs: number
}

export type FaultyEvent = { readonly id: string; readonly columns: readonly string[] }

/** Compares facts that all versions of the program read alike. */
function contradictions(row: LogRow, event: PersonaEvent): readonly string[] {
  const { clock, primary } = event
  if (event.id !== row.id) return ['payload']
  const pairs = [
    ['name', event.name === row.name],
    ['created_at', clock.createdAtMs === row.createdAtMs],
    ['resource_type', primary.snapshot.type === row.resourceType],
    ['resource_id', primary.id === row.resourceId],
  ] as const
  return pairs.flatMap(([column, isEqual]) => (isEqual ? [] : [column]))
}

/** Reads a row of the log. It is faulty where it was changed by hand and is no event, or another one. */
export function readLogRow(
  row: LogRow,
  keys: KeyRing,
): { readonly event: PersonaEvent } | { readonly faulty: FaultyEvent } {
  try {
    const event = readStoredEvent(row, keys)
    const columns = contradictions(row, event)
    return columns.length === 0 ? { event } : { faulty: { id: row.id, columns } }
  } catch (error) {
    if (seemsChanged(error)) return { faulty: { id: row.id, columns: ['payload'] } }
    throw error
  }
}

const noteSql = `
WITH noted AS (
  INSERT INTO ${SHADOW_SCHEMA}.faulty SELECT * FROM jsonb_to_recordset($1::jsonb) AS sent(event_id text, columns text[])
  ON CONFLICT DO NOTHING RETURNING event_id
)
INSERT INTO ${SHADOW_SCHEMA}.projected SELECT event_id FROM noted ON CONFLICT DO NOTHING`

/** Notes faulty events, also as projected, since they can't be projected. */
export async function noteFaulty(executor: SqlExecutor, faulty: readonly FaultyEvent[]): Promise<void> {
  if (faulty.length === 0) return
  await executor.query(noteSql, [
    encodeRows(
      faulty.map(({ id, columns }) => ({ event_id: id, columns })),
      executor.keys,
    ),
  ])
}

const OF_FAULTY = `IN (SELECT event_id FROM ${SHADOW_SCHEMA}.faulty)`
const CLOCK_COLUMNS = ['event_id', 'status_event_id', 'reference_event_id', 'claim_event_id']
const isOfFaulty = CLOCK_COLUMNS.map((name) => `${name} ${OF_FAULTY}`).join(' OR ')
const rowsOfFaulty = ['inquiries', 'verifications', 'resources']
  .map((table) => `SELECT id FROM public.${table} WHERE ${isOfFaulty}`)
  .join('\n  UNION ')

/** Objects of faulty events, by the event's row, its links, and the clocks of the projections. */
const untoldSql = `
INSERT INTO ${SHADOW_SCHEMA}.untold (
  SELECT resource_id FROM public.events WHERE id ${OF_FAULTY}
  UNION SELECT object_id FROM public.event_objects WHERE event_id ${OF_FAULTY}
  UNION ${rowsOfFaulty}
) ON CONFLICT DO NOTHING`

const faultySql = `SELECT event_id AS id, columns FROM ${SHADOW_SCHEMA}.faulty ORDER BY event_id`

/**
 * Finds objects of faulty events, whose rows stay as they are. It reads whole tables, so it runs only where more than
 * `known` events are faulty. Returns the number of faulty events.
 */
export async function findUntold(executor: SqlExecutor, known: number): Promise<number> {
  const faulty = await executor.query<FaultyEvent>(faultySql, [])
  if (faulty.length > known) await executor.query(untoldSql, [])
  return faulty.length
}

export async function reportFaulty(
  executor: SqlExecutor,
  onDifference: (difference: RowDifference) => void,
): Promise<number> {
  const faulty = await executor.query<FaultyEvent>(faultySql, [])
  for (const { id, columns } of faulty) onDifference({ table: 'events', id, kind: 'different', columns })
  return faulty.length
}
