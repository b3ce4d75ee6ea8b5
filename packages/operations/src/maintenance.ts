import {
  countOldChanges,
  countPrunable,
  dropOldChanges,
  MaintenanceBusyError,
  prune,
  rebuild,
  OtherKeyError,
  encryptStored as encryptAll,
  UndecryptableDeadLettersError,
  type Database,
  type OperationCounts,
  type PruneProgress,
  type PruneReport,
  type RebuildProgress,
  type RebuildReport,
  type RetentionLimits,
  type RowDifference,
  type EncryptProgress,
  type EncryptReport,
} from '@persona-ingest/database'
import { announceChanges, OperationError, recorded, type Actor } from './operation.ts'

/** Long work on a connection of its own; `database` is for the record of the operation. */
export type MaintenanceContext = {
  readonly database: Database
  readonly databaseUrl: string
  /** As `openDatabase` takes them. */
  readonly encryptionKeys: readonly string[]
  readonly actor: Actor
  /** Stops between two chunks; the next call goes on from there. */
  readonly signal: AbortSignal
}

/** Errors that say themselves what to do; they are kept also after an abort. */
const TELLING = [MaintenanceBusyError, OtherKeyError, UndecryptableDeadLettersError] as const

/** Rejects with `OPERATION_INTERRUPTED` where the work failed because of the abort signal. */
async function untilAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!signal.aborted || TELLING.some((type) => error instanceof type)) throw error
    throw new OperationError('OPERATION_INTERRUPTED', { cause: error })
  }
}

/** Differences between the projections and the event log: all are counted, only the first are named. */
export type Differences = {
  readonly named: readonly RowDifference[]
  /** By kind. */
  readonly counts: Readonly<Record<string, number>>
  readonly total: number
}

export type RebuildRequest = {
  /** Compares only; nothing is written, and nothing is recorded. */
  readonly isVerifying: boolean
  /** Begins anew where an earlier rebuild did not come to its end. */
  readonly isRestarting: boolean
  /** Differences that are named at most. */
  readonly maxNamed: number
  readonly onProgress: (progress: RebuildProgress) => void
}

export type RebuildResult = { readonly report: RebuildReport; readonly differences: Differences }

/**
 * Makes the current-state tables again from the event log, or compares them with it, while events arrive. Recorded as
 * `rebuild` unless it only compares. Rejects with `OPERATION_INTERRUPTED`, `MaintenanceBusyError`,
 * `OtherKeyError` (rows are under different keys), or the database's error.
 */
export async function rebuildProjections(context: MaintenanceContext, request: RebuildRequest): Promise<RebuildResult> {
  const { database, databaseUrl, encryptionKeys, actor, signal } = context
  const { isVerifying, isRestarting: restart, maxNamed, onProgress } = request
  const named: RowDifference[] = []
  const counts: OperationCounts = { missing: 0, unexpected: 0, different: 0 }
  const onDifference = (difference: RowDifference) => {
    counts[difference.kind] = (counts[difference.kind] ?? 0) + 1
    if (named.length < maxNamed) named.push(difference)
  }
  const options = { databaseUrl, encryptionKeys, isVerifying, restart, signal, onProgress, onDifference }
  const work = async () => await untilAborted(signal, async () => await rebuild(options))
  const operation = { ...actor, command: 'rebuild', arguments: { restart } }
  const report = isVerifying
    ? await work()
    : await recorded(database, operation, async (recordedCounts) => {
        const rebuilt = await work()
        await announceChanges(database)
        Object.assign(recordedCounts, { events: rebuilt.events, ...counts })
        return rebuilt
      })
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
  return { report, differences: { named, counts, total } }
}

export const prunedKinds = ['events', 'dead-letters', 'changes'] as const

export type PruneRequest = {
  /** Age in days since the receipt of an event, or since a dead letter was resolved. */
  readonly olderThanDays: number
  /** Null: all kinds. */
  readonly only: (typeof prunedKinds)[number] | null
  /** Changes of the change feed that are this old go, whatever `olderThanDays` is: readers rely on it. */
  readonly changesKeepDays: number
  /** Unix milliseconds. */
  readonly nowMs: number
}

const DAY_MS = 86_400_000

function limitsOf({ olderThanDays, only, nowMs }: PruneRequest): RetentionLimits {
  const before = new Date(nowMs - olderThanDays * DAY_MS)
  return {
    eventsBefore: only === null || only === 'events' ? before : null,
    deadLettersBefore: only === null || only === 'dead-letters' ? before : null,
  }
}

/** What a prune took. `changes` is an estimate of the changes that can't be read any more. */
export type PruneResult = PruneReport & { readonly changes: number }

const NOTHING_PRUNED: PruneReport = { events: 0, deadLetters: 0, unreadableIds: [] }

const includesChanges = ({ only }: PruneRequest): boolean => only === null || only === 'changes'

/** Counts what {@link pruneStored} would take. Rejects with `MaintenanceBusyError` or the database's error. */
export async function previewPrune(
  { database, databaseUrl }: Pick<MaintenanceContext, 'database' | 'databaseUrl'>,
  request: PruneRequest,
): Promise<PruneResult> {
  const report = request.only === 'changes' ? NOTHING_PRUNED : await countPrunable(databaseUrl, limitsOf(request))
  const changes = includesChanges(request) ? await countOldChanges(database, request.changesKeepDays) : 0
  return { ...report, changes }
}

async function dropChanges(database: Database, keepDays: number): Promise<number> {
  const changes = await countOldChanges(database, keepDays)
  await dropOldChanges(database, keepDays)
  return changes
}

/**
 * Takes the payloads of old events, old dead letters that are resolved, and old changes. Recorded as `prune`, with counts
 * also where it is cut short. Rejects with `OPERATION_INTERRUPTED`, `MaintenanceBusyError`, or the database's error.
 */
export async function pruneStored(
  context: MaintenanceContext,
  request: PruneRequest & { readonly onProgress: (progress: PruneProgress) => void },
): Promise<PruneResult> {
  const { database, databaseUrl, encryptionKeys, actor, signal } = context
  const { olderThanDays, only, changesKeepDays } = request
  const given = { older_than_days: olderThanDays, only, changes_keep_days: changesKeepDays }
  const operation = { ...actor, command: 'prune', arguments: given }
  return await recorded(database, operation, async (counts) => {
    const onProgress = (progress: PruneProgress) => {
      counts[progress.phase === 'events' ? 'events' : 'dead_letters'] = progress.done
      request.onProgress(progress)
    }
    const options = { databaseUrl, encryptionKeys, ...limitsOf(request), signal, onProgress }
    // First: it takes no lock for long, and another maintenance does not stop it.
    const changes = includesChanges(request) ? await dropChanges(database, changesKeepDays) : 0
    Object.assign(counts, { changes })
    if (only === 'changes') return { ...NOTHING_PRUNED, changes }
    return { ...(await untilAborted(signal, async () => await prune(options))), changes }
  })
}

/**
 * Encrypts all stored personal documents with the first key, while events arrive. Gives the rows that were written, by
 * table and column. Recorded as `encrypt`. Rejects with `OPERATION_INTERRUPTED`, `ENCRYPTION_KEYS_MISSING`,
 * `MaintenanceBusyError`, `UndecryptableDeadLettersError` (no key decrypts a dead letter), or the database's error.
 */
export async function encryptStored(
  context: MaintenanceContext,
  { onProgress }: { readonly onProgress: (progress: EncryptProgress) => void },
): Promise<EncryptReport> {
  const { database, databaseUrl, encryptionKeys, actor, signal } = context
  return await recorded(database, { ...actor, command: 'encrypt', arguments: {} }, async (counts) => {
    if (encryptionKeys.length === 0) throw new OperationError('ENCRYPTION_KEYS_MISSING')
    const options = { databaseUrl, encryptionKeys, signal, onProgress }
    const report = await untilAborted(signal, async () => await encryptAll(options))
    Object.assign(counts, report)
    return report
  })
}
