import { openMaintenance, type MaintenanceConnection, type MaintenanceOptions } from '../sql/maintenance-connection.ts'
import { pruneEvents } from './prune-events.ts'
import { pruneLetters } from './prune-letters.ts'

/** What has come of age; null leaves a kind as it is. */
export type RetentionLimits = {
  /** Events received before this time lose their payload and keep its skeleton. */
  readonly eventsBefore: Date | null
  /** Dead letters that were replayed or discarded before this time go. */
  readonly lettersBefore: Date | null
}

export type PruneReport = {
  readonly events: number
  readonly deadLetters: number
  /** Events of age that can't be read, since they were changed by hand: they stay as they are. */
  readonly unreadableIds: readonly string[]
}

export type PruneProgress = { readonly phase: 'events' | 'dead letters'; readonly done: number; readonly total: number }

export type PruneOptions = RetentionLimits &
  MaintenanceOptions & {
    /** Stops between two chunks; the next call goes on. */
    readonly signal?: AbortSignal | undefined
    readonly onProgress?: ((progress: PruneProgress) => void) | undefined
  }

const countSql = `
SELECT (SELECT count(*)::float8 FROM events WHERE pruned_at IS NULL AND received_at < $1::timestamptz) AS events,
  (SELECT count(*)::float8 FROM dead_letters WHERE state <> 'open' AND resolved_at < $2::timestamptz) AS "deadLetters"`

type Counts = { readonly events: number; readonly deadLetters: number }

async function count(connection: MaintenanceConnection, limits: RetentionLimits): Promise<Counts> {
  const parameters = [limits.eventsBefore, limits.lettersBefore].map((time) => time?.toISOString() ?? null)
  const [counts] = await connection.query<Counts>(countSql, parameters)
  return counts ?? { events: 0, deadLetters: 0 }
}

async function withMaintenance<T>(
  options: MaintenanceOptions,
  work: (connection: MaintenanceConnection) => Promise<T>,
) {
  const connection = await openMaintenance(options, 'public')
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}

/** Counts what a prune would take. */
export async function countPrunable(databaseUrl: string, limits: RetentionLimits): Promise<PruneReport> {
  // It decrypts nothing.
  return withMaintenance({ databaseUrl, encryptionKeys: [] }, async (connection) => ({
    ...(await count(connection, limits)),
    unreadableIds: [],
  }))
}

/**
 * Takes the payloads of events, and resolved dead letters, that have come of age. The rows of the projections, and what
 * orders, links and redacts in the log, stay; a redelivery stays a duplicate.
 *
 * In short transactions, each for good: it may be stopped, killed and repeated at any time. Rejects with a
 * `MaintenanceBusyError` where another prune or a rebuild is under way, and with the database's errors.
 *
 * @see docs/adr/0008-pruned-events-keep-their-skeleton.md
 */
export async function prune(options: PruneOptions): Promise<PruneReport> {
  const { eventsBefore, lettersBefore, onProgress = () => undefined } = options
  return withMaintenance(options, async (connection) => {
    const total = await count(connection, options)
    const step = (phase: PruneProgress['phase'], of: number) => (done: number) => {
      onProgress({ phase, done, total: Math.max(of, done) })
      options.signal?.throwIfAborted()
    }
    const pruned =
      eventsBefore === null
        ? { events: 0, unreadableIds: [] }
        : await pruneEvents(connection, eventsBefore, step('events', total.events))
    const deadLetters =
      lettersBefore === null
        ? 0
        : await pruneLetters(connection, lettersBefore, step('dead letters', total.deadLetters))
    return { ...pruned, deadLetters }
  })
}
