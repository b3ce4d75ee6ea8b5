import {
  countPrunable,
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
import { OperationError, recorded, type Actor } from './operation.ts'

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
        Object.assign(recordedCounts, { events: rebuilt.events, ...counts })
        return rebuilt
      })
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
  return { report, differences: { named, counts, total } }
}

export const prunedKinds = ['events', 'dead-letters'] as const

export type PruneRequest = {
  /** Age in days since the receipt of an event, or since a dead letter was resolved. */
  readonly olderThanDays: number
  /** Null: both kinds. */
  readonly only: (typeof prunedKinds)[number] | null
  /** Unix milliseconds. */
  readonly nowMs: number
}

const DAY_MS = 86_400_000

function limitsOf({ olderThanDays, only, nowMs }: PruneRequest): RetentionLimits {
  const before = new Date(nowMs - olderThanDays * DAY_MS)
  return {
    eventsBefore: only === 'dead-letters' ? null : before,
    deadLettersBefore: only === 'events' ? null : before,
  }
}

/** Counts what {@link pruneStored} would take. Rejects with `MaintenanceBusyError` or the database's error. */
export async function previewPrune(databaseUrl: string, request: PruneRequest): Promise<PruneReport> {
  return await countPrunable(databaseUrl, limitsOf(request))
}

/**
 * Takes the payloads of old events, and old dead letters that are resolved. Recorded as `prune`, with counts also where
 * it is cut short. Rejects with `OPERATION_INTERRUPTED`, `MaintenanceBusyError`, or the database's error.
 */
export async function pruneStored(
  context: MaintenanceContext,
  request: PruneRequest & { readonly onProgress: (progress: PruneProgress) => void },
): Promise<PruneReport> {
  const { database, databaseUrl, encryptionKeys, actor, signal } = context
  const { olderThanDays, only } = request
  const operation = { ...actor, command: 'prune', arguments: { older_than_days: olderThanDays, only } }
  return await recorded(database, operation, async (counts) => {
    const onProgress = (progress: PruneProgress) => {
      counts[progress.phase === 'events' ? 'events' : 'dead_letters'] = progress.done
      request.onProgress(progress)
    }
    const options = { databaseUrl, encryptionKeys, ...limitsOf(request), signal, onProgress }
    return await untilAborted(signal, async () => await prune(options))
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
