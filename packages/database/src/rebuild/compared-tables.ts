import { columnsBeyondSkeleton } from '../redaction/redact-rows.ts'
import { projectionTables, sentColumns, type ProjectionTable } from '../tables.ts'

/** A table that is compared with its shadow, and the columns that are. */
export type ComparedTable = {
  readonly name: 'inquiries' | 'verifications' | 'resources' | 'objects'
  readonly columns: readonly string[]
  /** Those of them that a pruned event does not tell any more. */
  readonly untoldWhenPruned: readonly string[]
  /** Rows of the live table that may be there without a shadow; as a condition on `live`. */
  readonly mayStay: string
}

function comparedProjection(table: ProjectionTable): ComparedTable {
  return {
    name: table.name,
    columns: sentColumns(table).map(([name]) => name),
    untoldWhenPruned: columnsBeyondSkeleton(table.family),
    mayStay: 'false',
  }
}

/** Erasures only grow, and are no projection: an object that was erased keeps its entry. */
const objects: ComparedTable = {
  name: 'objects',
  columns: ['id', 'family'],
  untoldWhenPruned: [],
  mayStay: 'live.erased_event_id IS NOT NULL',
}

export const comparedTables: readonly ComparedTable[] = [
  ...Object.values(projectionTables).map(comparedProjection),
  objects,
]
