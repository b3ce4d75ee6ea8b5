import { openMaintenance, type MaintenanceConnection, type MaintenanceOptions } from '../sql/maintenance-connection.ts'
import { eraseLate, settleProjectedSql, sweepMissed } from './catch-up.ts'
import { findSuspects } from './compare.ts'
import { eventChunks, type EventSize } from '../log/read-in-portions.ts'
import { settleSuspects, type RowDifference } from './mend.ts'

import { findUntold, tellFaulty } from './faulty-events.ts'
import { projectEvents, projectInChunks, readLog, readLogEvents } from './project-events.ts'

import { expectOneKey } from '../encryption/encrypt-stored.ts'
import { dropShadow, prepareShadow, SHADOW_SCHEMA, SHADOW_SEARCH_PATH } from './shadow-tables.ts'

/** How far a rebuild is: events read, then rows compared. `total` is what was there at the start. */
export type RebuildProgress = { readonly phase: 'events' | 'rows'; readonly done: number; readonly total: number }

export type RebuildOptions = MaintenanceOptions & {
  /** Compares only: nothing but the shadow tables is written. */
  readonly isVerifying: boolean
  /** Begins anew where an earlier rebuild did not come to its end. Default: goes on with it. */
  readonly restart?: boolean | undefined
  /** Stops between two chunks; the next rebuild goes on from there. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: RebuildProgress) => void) | undefined
  readonly onDifference: (difference: RowDifference) => void
  /** For tests: awaited when all is done but the transaction that ends it. */
  readonly beforeEnd?: (() => Promise<void>) | undefined
}

export type RebuildReport = {
  readonly isResumed: boolean
  /** Events of the log, and rows by table, that were compared. */
  readonly events: number
  readonly rows: Readonly<Record<string, number>>
  /** Events of the log that were changed by hand: the rows of their objects are left alone. */
  readonly faultyEvents: number
  /** How long ingestion was held off, in ms; 0 where only compared. */
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

/** Projects what the shadow tables lack, until what is left takes a moment only. */
async function catchUp(connection: MaintenanceConnection, onChunk: (events: number) => void): Promise<void> {
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep += 1) {
    const project = (events: readonly EventSize[]) => projectInChunks(connection, events, onChunk)
    if ((await sweepMissed(connection, project)) < ENOUGH_CAUGHT_UP) break
  }
  await eraseLate(connection, (work) => connection.transaction('snapshot', work))
}

/** The last events, within the transaction that ends the rebuild: nothing is stored meanwhile, or nothing of it is seen. */
async function finish(
  connection: MaintenanceConnection,
  options: RebuildOptions,
  knownFaulty: number,
): Promise<number> {
  await sweepMissed(connection, async (events) => {
    for (const ids of eventChunks(events)) {
      for await (const portion of readLogEvents(connection, ids)) await projectEvents(connection, portion)
    }
  })
  await eraseLate(connection, (work) => work())
  await findUntold(connection, knownFaulty)
  const faultyEvents = await tellFaulty(connection, options.onDifference)
  await settleSuspects(connection, { isMending: !options.isVerifying, onDifference: options.onDifference })
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
  await connection.query(settleProjectedSql, [])
  await options.beforeEnd?.()
  let heldOffMs = 0
  let faultyEvents = 0
  if (options.isVerifying) {
    // One snapshot holds the log and the rows as one moment left them: nobody need wait.
    faultyEvents = await connection.transaction('snapshot', () => finish(connection, options, knownFaulty))
  } else {
    const begunAtMs = performance.now()
    faultyEvents = await connection.transaction('latest', async () => {
      // What others decided on before is read again: the rows, and with them their clocks, may change.
      await connection.query('SELECT begin_exclusive_write()', [])
      return finish(connection, options, knownFaulty)
    })
    heldOffMs = performance.now() - begunAtMs
  }
  const projected = await countOf(connection, projectedSql)
  await dropShadow(connection)
  return { isResumed: shadow.isResumed, events: projected, rows, faultyEvents, heldOffMs }
}

/**
 * Projects the whole event log anew, beside the tables and while ingestion goes on, and compares row by row; then makes
 * the tables equal to it in one transaction, or only tells each difference.
 *
 * Inputs that are no projection stay as they are: redactions and what they reach, claims, and the links between events
 * and objects. Memory is bounded by a chunk of events. Killed at any moment, the next call goes on; rejects with the
 * signal's reason where it was aborted, a `MaintenanceBusyError` where another runs, a `OtherKeyError` where rows are not all under the newest key, and the
 * database's errors.
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
