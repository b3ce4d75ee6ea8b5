import type { KeyRing } from '@persona-ingest/core'
import type { PersonaEvent } from '@persona-ingest/persona'
import { encodeRows } from '../sql/rows.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import { readStoredEvent, seemsChanged, storedEventFields, type StoredEventRow } from '../log/stored-event.ts'
import type { RowDifference } from './mend.ts'
import { SHADOW_SCHEMA } from './shadow-tables.ts'

/** What {@link readLogRow} needs of a row of `events` beside its payload. */
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

/** Facts that a payload states as they stand in the row: how they are read has never changed. */
function contradictions(row: LogRow, event: PersonaEvent): readonly string[] {
  const { clock, primary } = event
  if (event.id !== row.id) return ['payload']
  const pairs = [
    ['name', event.name === row.name],
    ['created_at', clock.createdAtMs === row.createdAtMs],
    ['resource_type', primary.snapshot.type === row.resourceType],
    ['resource_id', primary.id === row.resourceId],
  ] as const
  return pairs.flatMap(([column, isTold]) => (isTold ? [] : [column]))
}

/** Reads a row of the log; what was changed by hand so that it is no event, or not this one, is told as faulty. */
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

/** Notes them, and that they are done with: nothing of them can be projected. */
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
const CLOCKS = {
  inquiries: ['event_id', 'status_event_id', 'reference_event_id', 'claim_event_id'],
  verifications: ['event_id', 'status_event_id', 'reference_event_id', 'claim_event_id'],
  resources: ['event_id', 'status_event_id', 'reference_event_id', 'claim_event_id'],
}
const rowsOfFaulty = Object.entries(CLOCKS)
  .map(
    ([table, columns]) =>
      `SELECT id FROM public.${table} WHERE ${columns.map((name) => `${name} ${OF_FAULTY}`).join(' OR ')}`,
  ) // prettier-ignore
  .join('\n  UNION ')

/** Every object that such an event tells of, as far as anything still says so. */
const untoldSql = `
INSERT INTO ${SHADOW_SCHEMA}.untold (
  SELECT resource_id FROM public.events WHERE id ${OF_FAULTY}
  UNION SELECT object_id FROM public.event_objects WHERE event_id ${OF_FAULTY}
  UNION ${rowsOfFaulty}
) ON CONFLICT DO NOTHING`

const faultySql = `SELECT event_id AS id, columns FROM ${SHADOW_SCHEMA}.faulty ORDER BY event_id`

/**
 * Finds the objects whose rows are left alone, since events that tell of them can't be read; `known` of them were found
 * earlier. It reads whole tables, so only where there is something to find. Returns how many events are faulty.
 */
export async function findUntold(executor: SqlExecutor, known: number): Promise<number> {
  const faulty = await executor.query<FaultyEvent>(faultySql, [])
  if (faulty.length > known) await executor.query(untoldSql, [])
  return faulty.length
}

export async function tellFaulty(
  executor: SqlExecutor,
  onDifference: (difference: RowDifference) => void,
): Promise<number> {
  const faulty = await executor.query<FaultyEvent>(faultySql, [])
  for (const { id, columns } of faulty) onDifference({ table: 'events', id, kind: 'different', columns })
  return faulty.length
}
