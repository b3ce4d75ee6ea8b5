import type { ObjectFamily } from '@persona-ingest/persona'
import { clockColumns, families, projectionTables, type Column } from '../tables.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import type { FamilyMove } from './plan-write.ts'

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
    ...target.emptyValues,
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
 * Moves rows to the table of their newest type, with clocks, status and claim. The write that causes the move brings the
 * values of the snapshot. Only within an exclusive write.
 */
export async function moveRows(executor: SqlExecutor, moves: readonly FamilyMove[]): Promise<void> {
  for (const from of families) {
    for (const to of families) {
      const ids = moves.filter((move) => move.from === from && move.to === to).map((move) => move.id)
      if (ids.length === 0) continue
      await executor.query(moveSql(from, to), [ids])
      await executor.query('UPDATE objects SET family = $2 WHERE id = ANY($1::text[])', [ids, to])
    }
  }
}
