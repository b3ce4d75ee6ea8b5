import { parseExact, type Environment, type JsonValue } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { decryptBytes, decryptDocument } from '../sql/row-values.ts'

/** A row of `events`. @see docs/contract.md#4-database-postgresql-schema-public */
export type EventRow = {
  readonly id: string
  readonly environment: Environment
  readonly name: string
  readonly created_at: Date
  readonly resource_type: string
  readonly resource_id: string
  readonly inquiry_id: string | null
  readonly received_at: Date
  readonly processed_at: Date
  readonly outcome: 'applied' | 'stale'
  /** When `prune` reduced the payload to its skeleton; null before. */
  readonly pruned_at: Date | null
  readonly payload: JsonValue
}

/** An event's document as bytes. */
export type EventBody = {
  readonly bytes: Uint8Array
  /** False for jsonb's text of the document, which has the same meaning and other bytes. */
  readonly isAsDelivered: boolean
  /** Whether `prune` reduced the document to its skeleton. */
  readonly isPruned: boolean
}

const eventSql = `
SELECT id, environment, name, created_at, resource_type, resource_id, inquiry_id, received_at, processed_at, outcome,
  pruned_at, payload::text AS payload
FROM events WHERE id = $1`

const bodySql = `
SELECT original_body, pruned_at IS NOT NULL AS is_pruned, CASE WHEN original_body IS NULL THEN payload::text END AS payload FROM events WHERE id = $1`

/** Reads an event of the log; null where there is none. */
export async function findEvent(database: Database, id: string): Promise<EventRow | null> {
  const [row] = await database.prisma.$queryRawUnsafe<readonly (Omit<EventRow, 'payload'> & { payload: string })[]>(
    eventSql,
    id,
  )
  if (row === undefined) return null
  return { ...row, payload: parseExact(decryptDocument(row.payload, ['events', id, 'payload'], database.keys)) }
}

/** Reads an event's bytes as delivered, or the text of its document where they are not stored; null without an event. */
export async function findEventBody(database: Database, id: string): Promise<EventBody | null> {
  const [row] = await database.prisma.$queryRawUnsafe<
    readonly {
      readonly original_body: Uint8Array | null
      readonly payload: string | null
      readonly is_pruned: boolean
    }[]
  >(bodySql, id)
  if (row === undefined) return null
  const { is_pruned: isPruned } = row
  const keys = database.keys
  if (row.original_body !== null) {
    const bytes = decryptBytes(row.original_body, ['events', id, 'original_body'], keys)
    return { bytes, isAsDelivered: true, isPruned }
  }
  const text = decryptDocument(row.payload ?? '', ['events', id, 'payload'], keys)
  return { bytes: Buffer.from(text), isAsDelivered: false, isPruned }
}
