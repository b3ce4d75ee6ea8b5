import type { ObjectFamily } from '@persona-ingest/persona'
import { clockColumns, projectionTables, type Column } from '../tables.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import type { FamilyMove } from './plan-write.ts'

const EMPTY_BY_TABLE: Readonly<Record<ObjectFamily, readonly (readonly [column: string, value: string])[]>> = {
  inquiry: [
    ['tags', `'{}'`],
    ['fields', `'{}'`],
  ],
  verification: [['checks', `'[]'`]],
  resource: [],
}

const FAMILIES = ['inquiry', 'verification', 'resource'] as const

function moveSql(from: ObjectFamily, to: ObjectFamily): string {
  const source = projectionTables[from]
  const target = projectionTables[to]
  const kept: readonly Column[] = [
    ['id', 'text'],
    ['environment', 'text'],
    ['status', 'text'],
    ...clockColumns('event'),
    ['event_name', 'text'],
    ...clockColumns('status'),
    ...clockColumns('reference'),
    ...clockColumns('claim'),
    ['claim_strength', 'smallint'],
  ]
  const pairs = [
    ...kept.map(([name]) => [name, name] as const),
    [target.claimColumn, source.claimColumn] as const,
    ...EMPTY_BY_TABLE[to],
    ['attributes', `'{}'`] as const,
    ['relationships', `'{}'`] as const,
  ]
  return (
    `WITH moved AS (DELETE FROM ${source.name} WHERE id = ANY($1::text[]) RETURNING *) ` +
    `INSERT INTO ${target.name} (${pairs.map(([column]) => column).join(', ')}) ` +
    `SELECT ${pairs.map(([, value]) => value).join(', ')} FROM moved`
  )
}

/**
 * Moves rows to the table that their newest word calls for. What is moved is the clocks, the status and the claim; the
 * snapshot's values follow with the write that caused the move. Only within an exclusive write.
 */
export async function moveRows(executor: SqlExecutor, moves: readonly FamilyMove[]): Promise<void> {
  for (const from of FAMILIES) {
    for (const to of FAMILIES) {
      const ids = moves.filter((move) => move.from === from && move.to === to).map((move) => move.id)
      if (ids.length === 0) continue
      await executor.query(moveSql(from, to), [ids])
      await executor.query('UPDATE objects SET family = $2 WHERE id = ANY($1::text[])', [ids, to])
    }
  }
}
