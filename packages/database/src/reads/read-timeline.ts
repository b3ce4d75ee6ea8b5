import type { Database } from '../database.ts'

/** A row of the view `inquiry_timeline`. */
export type TimelineRow = {
  readonly inquiry_id: string
  readonly event_id: string
  readonly event_name: string
  readonly event_created_at: Date
  readonly received_at: Date
  /** The inquiry's status in this event; null for events about other objects. */
  readonly status: string | null
  /** Whether an event with a newer clock was received strictly before this one. */
  readonly out_of_order: boolean
}

// The view has no rank, which orders events of one millisecond.
const timelineSql = `
SELECT timeline.inquiry_id, timeline.event_id, timeline.event_name, timeline.event_created_at, timeline.received_at,
  timeline.status, timeline.out_of_order
FROM inquiry_timeline AS timeline JOIN events ON events.id = timeline.event_id
WHERE timeline.inquiry_id = $1
ORDER BY events.created_at, events.rank, events.id`

/** Reads an inquiry's events in the order of the clock; empty where none is known. */
export async function readTimeline(database: Database, inquiryId: string): Promise<readonly TimelineRow[]> {
  return database.prisma.$queryRawUnsafe<readonly TimelineRow[]>(timelineSql, inquiryId)
}
