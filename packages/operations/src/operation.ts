import { CodedError } from '@persona-ingest/core'
import { makeChangeTick, recordOperation, type Database, type OperationCounts } from '@persona-ingest/database'
import { setTimeout as pause } from 'node:timers/promises'

/** The operator of an operation and the reason for it, as the table `operations` keeps them. No personal data. */
export type Actor = { readonly operator: string; readonly reason: string | null }

const operationFaults = {
  OPERATION_INTERRUPTED: 'interrupted; run it again to go on',
  ENCRYPTION_KEYS_MISSING: 'STORAGE_ENCRYPTION_KEYS is not set: nothing to encrypt with',
  ERASURE_SUBJECT_AMBIGUOUS: 'this is both an id and a reference id: say which is meant',
} as const
export type OperationFault = keyof typeof operationFaults

/** An operation that did not come to its end; its message is constant. */
export class OperationError extends CodedError<OperationFault> {
  override readonly name = 'OperationError'

  constructor(code: OperationFault, options?: { cause?: unknown }) {
    super(code, operationFaults[code], options)
  }
}

const TICK_ATTEMPTS = 5
const TICK_AGAIN_AFTER_MS = 60

/**
 * Makes a tick for what an operation committed, so that readers of the change feed are told at once. Best effort, since
 * workers make a tick within seconds anyway. Never rejects.
 */
export async function announceChanges(database: Database): Promise<void> {
  for (let attempt = 1; attempt <= TICK_ATTEMPTS; attempt += 1) {
    const outcome = await makeChangeTick(database).catch(() => 'nothing' as const)
    if (outcome === 'ticked' || outcome === 'nothing') return
    await pause(TICK_AGAIN_AFTER_MS)
  }
}

/**
 * Runs an operation with a row in `operations`. The row is written before the act and completed after it, as failed
 * where the act rejects. `act` fills in the counts, which are kept in both cases.
 */
export async function recorded<T>(
  database: Database,
  operation: Actor & { readonly command: string; readonly arguments: Readonly<Record<string, unknown>> },
  act: (counts: OperationCounts) => Promise<T>,
): Promise<T> {
  const { command, arguments: given, operator, reason } = operation
  return await recordOperation(database, { command, arguments: given, operator, reason }, act)
}
