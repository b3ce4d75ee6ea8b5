import type { Database } from '../database.ts'

/** Conditions on events of the log; all must hold, and a missing one always does. */
export type EventSelection = {
  readonly ids?: readonly string[] | undefined
  /** Events of an inquiry and of its objects, as in `inquiry_timeline`. */
  readonly inquiryId?: string | undefined
  /** Received at this time or later. */
  readonly since?: Date | undefined
  /** Received before this time. */
  readonly until?: Date | undefined
}

/** A place in the list of selected events, in the order of receipt. */
export type EventPlace = { readonly id: string; readonly receivedAt: string }

const PAGE = 5_000

function conditions(selection: EventSelection, after: EventPlace | null): { sql: string; parameters: unknown[] } {
  const parameters: unknown[] = []
  const bind = (value: unknown): string => `$${parameters.push(value)}`
  const parts = ['true']
  if (selection.ids !== undefined) parts.push(`id = ANY(${bind([...selection.ids])}::text[])`)
  if (selection.inquiryId !== undefined) {
    parts.push(`id IN (SELECT event_id FROM inquiry_timeline WHERE inquiry_id = ${bind(selection.inquiryId)}::text)`)
  }
  if (selection.since !== undefined) {
    parts.push(`received_at >= ${bind(selection.since.toISOString())}::text::timestamptz`)
  }
  if (selection.until !== undefined) {
    parts.push(`received_at < ${bind(selection.until.toISOString())}::text::timestamptz`)
  }
  if (after !== null) {
    // The index on received_at serves only the first comparison.
    const receivedAt = `${bind(after.receivedAt)}::text::timestamptz`
    parts.push(`received_at >= ${receivedAt} AND (received_at, id) > (${receivedAt}, ${bind(after.id)}::text)`)
  }
  return { sql: parts.join(' AND '), parameters }
}

/** Counts the events of the log that are selected. */
export async function countSelectedEvents(database: Database, selection: EventSelection): Promise<number> {
  const { sql, parameters } = conditions(selection, null)
  const [row] = await database.prisma.$queryRawUnsafe<readonly { readonly count: number }[]>(
    `SELECT count(*)::int AS count FROM events WHERE ${sql}`,
    ...parameters,
  )
  return row?.count ?? 0
}

/** Lists the ids of the selected events in the order of receipt, up to 5,000 at a time; an empty page is the end. */
export async function listSelectedEvents(
  database: Database,
  selection: EventSelection,
  after: EventPlace | null,
): Promise<readonly EventPlace[]> {
  const { sql, parameters } = conditions(selection, after)
  return database.prisma.$queryRawUnsafe<readonly EventPlace[]>(
    `SELECT id, received_at::text AS "receivedAt" FROM events WHERE ${sql} ORDER BY events.received_at, id LIMIT ${PAGE}`,
    ...parameters,
  )
}
