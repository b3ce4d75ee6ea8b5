import { expectOneKey } from '../encryption/encrypt-stored.ts'
import { eventChunks, type EventSize } from '../log/read-in-portions.ts'
import { openMaintenance, type MaintenanceConnection, type MaintenanceOptions } from '../sql/maintenance-connection.ts'
import { setChangeCause } from '../sql/write-transactions.ts'
import { eraseLate, projectMissed, vacuumProjectedSql } from './catch-up.ts'
import { findSuspects } from './compare.ts'
import { findUntold, reportFaulty } from './faulty-events.ts'
import { resolveSuspects, type RowDifference } from './mend.ts'
import { projectEvents, projectInChunks, readLog, readLogEvents } from './project-events.ts'
import { dropShadow, prepareShadow, SHADOW_SCHEMA, SHADOW_SEARCH_PATH } from './shadow-tables.ts'

/** Progress of a rebuild: events read, then rows compared. `total` is the number at the start. */
export type RebuildProgress = { readonly phase: 'events' | 'rows'; readonly done: number; readonly total: number }

export type RebuildOptions = MaintenanceOptions & {
  /** Compares only; writes nothing but the shadow tables. */
  readonly isVerifying: boolean
  /** Begins anew where an earlier rebuild was interrupted. Default: continues it. */
  readonly restart?: boolean | undefined
  /** Stops between two chunks; the next rebuild continues there. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: RebuildProgress) => void) | undefined
  readonly onDifference: (difference: RowDifference) => void
  /** For tests: awaited before the last transaction. */
  readonly beforeEnd?: (() => Promise<void>) | undefined
}

export type RebuildReport = {
  readonly isResumed: boolean
  /** Events of the log. */
  readonly events: number
  /** Compared rows, by table. */
  readonly rows: Readonly<Record<string, number>>
  /** Events that were changed by hand; the rows of their objects stay as they are. */
  readonly faultyEvents: number
  /** Time that ingestion had to wait, in ms; 0 for a comparison. */
  readonly heldOffMs: number
}

const ENOUGH_CAUGHT_UP = 1_000
const MAX_SWEEPS = 10

const countSql = 'SELECT count(*)::float8 AS count FROM public.events'
const projectedSql = `SELECT count(*)::float8 AS count FROM ${SHADOW_SCHEMA}.projected`
const rowsSql = ['inquiries', 'verifications', 'resources', 'objects']
  .map((name) => `SELECT count(*)::float8 AS count FROM ${SHADOW_SCHEMA}.${name}`)
  .join(' UNION ALL ')

async function countOf(connection: MaintenanceConnection, sql: string): Promise<number> {
  const rows = await connection.query<{ count: number }>(sql, [])
  return rows.reduce((sum, { count }) => sum + count, 0)
}

/** Projects missed events until few are left. */
async function catchUp(connection: MaintenanceConnection, onChunk: (events: number) => void): Promise<void> {
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep += 1) {
    const project = (events: readonly EventSize[]) => projectInChunks(connection, events, onChunk)
    if ((await projectMissed(connection, project)) < ENOUGH_CAUGHT_UP) break
  }
  await eraseLate(connection, (work) => connection.transaction('snapshot', work))
}

/** Projects the last events and resolves differences, within the last transaction, which sees no later event. */
async function finish(
  connection: MaintenanceConnection,
  options: RebuildOptions,
  knownFaulty: number,
): Promise<number> {
  await projectMissed(connection, async (events) => {
    for (const ids of eventChunks(events)) {
      for await (const portion of readLogEvents(connection, ids)) await projectEvents(connection, portion)
    }
  })
  await eraseLate(connection, (work) => work())
  await findUntold(connection, knownFaulty)
  const faultyEvents = await reportFaulty(connection, options.onDifference)
  await resolveSuspects(connection, { isMending: !options.isVerifying, onDifference: options.onDifference })
  return faultyEvents
}

async function run(connection: MaintenanceConnection, options: RebuildOptions): Promise<RebuildReport> {
  const { signal, onProgress = () => undefined } = options
  await expectOneKey(connection)
  const shadow = await prepareShadow(connection, { restart: options.restart === true })
  const total = await countOf(connection, countSql)
  let events = await countOf(connection, projectedSql)
  const onChunk = (count: number): void => {
    events += count
    onProgress({ phase: 'events', done: events, total: Math.max(total, events) })
    signal?.throwIfAborted()
  }
  await readLog(connection, shadow, onChunk)
  await catchUp(connection, onChunk)
  const rowsTotal = await countOf(connection, rowsSql)
  const knownFaulty = await findUntold(connection, 0)
  const rows = await findSuspects(connection, (done) => {
    onProgress({ phase: 'rows', done, total: Math.max(rowsTotal, done) })
    signal?.throwIfAborted()
  })
  await catchUp(connection, onChunk)
  await connection.query(vacuumProjectedSql, [])
  await options.beforeEnd?.()
  let heldOffMs = 0
  let faultyEvents = 0
  if (options.isVerifying) {
    // One snapshot of log and rows: ingestion need not wait.
    faultyEvents = await connection.transaction('snapshot', () => finish(connection, options, knownFaulty))
  } else {
    const begunAtMs = performance.now()
    faultyEvents = await connection.transaction('latest', async () => {
      // Writes that were planned before must be planned again, since clocks of rows may change.
      await connection.query('SELECT begin_exclusive_write()', [])
      await setChangeCause(connection, 'rebuild')
      return finish(connection, options, knownFaulty)
    })
    heldOffMs = performance.now() - begunAtMs
  }
  const projected = await countOf(connection, projectedSql)
  await dropShadow(connection)
  return { isResumed: shadow.isResumed, events: projected, rows, faultyEvents, heldOffMs }
}

/**
 * Projects the whole event log into shadow tables while ingestion goes on, and compares row by row. It repairs the tables
 * in one transaction, or only reports each difference.
 *
 * Redactions, claims, and links between events and objects are inputs and stay. An interrupted rebuild is continued by the
 * next call. Rejects with the reason of the signal, `MAINTENANCE_BUSY`, `OTHER_KEY` (rows are not all under the newest key),
 * or the database's error.
 *
 * @see docs/adr/0006-rebuild-beside-the-tables.md
 */
export async function rebuild(options: RebuildOptions): Promise<RebuildReport> {
  const connection = await openMaintenance(options, SHADOW_SEARCH_PATH)
  try {
    return await run(connection, options)
  } finally {
    await connection.close()
  }
}
