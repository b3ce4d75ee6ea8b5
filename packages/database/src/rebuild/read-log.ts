import type { MaintenanceConnection } from '../sql/maintenance-connection.ts'
import { eventChunks, type EventSize } from '../log/read-in-portions.ts'
import { projectEvents, readLogEvents } from './project-events.ts'
import { noteProgress, type ShadowProgress } from './shadow-tables.ts'

/** 8 MB of the log's main storage; some thousands of events. */
const WINDOW_BLOCKS = 1024

/** In the order of storage: fast, and an inquiry's events come about together, so that they share a chunk. */
const windowSql = `
SELECT id, pg_column_size(payload) AS bytes FROM public.events
WHERE ctid >= format('(%s,0)', $1::int8)::tid AND ctid < format('(%s,0)', $2::int8)::tid`

/** Projects events, a chunk at a time, each in one transaction that sees one snapshot. */
export async function projectInChunks(
  connection: MaintenanceConnection,
  events: readonly EventSize[],
  onChunk: (events: number) => void,
): Promise<void> {
  for (const ids of eventChunks(events)) {
    await connection.transaction('snapshot', async () => {
      for await (const portion of readLogEvents(connection, ids)) await projectEvents(connection, portion)
    })
    onChunk(ids.length)
  }
}

/**
 * The first pass: projects what stood in the log's storage when the rebuild began, window by window, and notes how far
 * it is. An event that is stored or moved meanwhile may be missed: {@link projectMissed} finds it.
 */
export async function readLog(
  connection: MaintenanceConnection,
  from: ShadowProgress,
  onChunk: (events: number) => void,
): Promise<void> {
  for (let block = from.nextBlock; block < from.blocks; block += WINDOW_BLOCKS) {
    const events = await connection.query<EventSize>(windowSql, [block, block + WINDOW_BLOCKS])
    await projectInChunks(connection, events, onChunk)
    await noteProgress(connection, block + WINDOW_BLOCKS)
  }
}
