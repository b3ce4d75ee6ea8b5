import {
  AmbiguousSubjectError,
  eraseTargets,
  findErasureTargets,
  type Database,
  type ErasureReport,
  type ErasureSubject,
  type ErasureTargets,
  type OnUndecryptable,
} from '@persona-ingest/database'
import { announceChanges, OperationError } from './operation.ts'

/** Ids per table that are kept of rows that no key decrypts: without a key, that is every row. */
export const MAX_UNDECRYPTED_IDS = 1_000

/** Ids of rows that no key decrypts, so that they could not be searched and erased. At most 1,000 of each table. */
export type UndecryptedIds = {
  readonly event_ids: readonly string[]
  readonly resource_ids: readonly string[]
  readonly dead_letter_ids: readonly string[]
}

/** One such row must not keep the data of all others from being erased. */
class UndecryptedRows {
  readonly #ids = { events: new Set<string>(), resources: new Set<string>(), dead_letters: new Set<string>() }

  readonly add: OnUndecryptable = ({ table, id }) => {
    const ids = this.#ids[table]
    if (ids.size < MAX_UNDECRYPTED_IDS) ids.add(id)
  }

  byTable(): UndecryptedIds {
    return {
      event_ids: [...this.#ids.events],
      resource_ids: [...this.#ids.resources],
      dead_letter_ids: [...this.#ids.dead_letters],
    }
  }
}

/** What an erasure reaches; `targets` is null where nothing is stored of the subject. */
export type FoundErasure = {
  readonly targets: ErasureTargets | null
  /** Rows that the search could not decrypt; the erasure adds its own. */
  readonly undecrypted: UndecryptedRows
}

/**
 * Finds everything that belongs to an id of the provider or to a reference id. `as` says which is meant. `onProgress` is
 * told how many events of the log were searched. Throws an `OperationError` `ERASURE_SUBJECT_AMBIGUOUS` where the subject
 * is both and `as` is left out.
 */
export async function findErasure(
  database: Database,
  subject: string,
  options: {
    readonly as?: ErasureSubject | undefined
    readonly onProgress?: ((scannedEvents: number) => void) | undefined
  } = {},
): Promise<FoundErasure> {
  const undecrypted = new UndecryptedRows()
  try {
    const targets = await findErasureTargets(database, subject, {
      as: options.as,
      onProgress: ({ scannedEvents }) => options.onProgress?.(scannedEvents),
      onUndecryptable: undecrypted.add,
    })
    return { targets, undecrypted }
  } catch (error) {
    if (!(error instanceof AmbiguousSubjectError)) throw error
    throw new OperationError('ERASURE_SUBJECT_AMBIGUOUS', { cause: error })
  }
}

export type EraseOptions = {
  /** Kept with the record of the erasure. No personal data. */
  readonly reason: string | null
  /** Counts what would be erased, and erases nothing. */
  readonly isDryRun: boolean
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** What an erasure reached: ids and counts, and nothing that was told of a person. */
export type ErasureResult = {
  readonly isDryRun: boolean
  readonly reason: string | null
  readonly targets: ErasureTargets
  readonly report: ErasureReport
  readonly undecrypted: UndecryptedIds
}

/**
 * Erases what {@link findErasure} found, as finally as a redaction by the provider. Recorded in the table `erasures`; the
 * time of the erasure is the database's. Rejects with the database's error.
 */
export async function eraseFound(
  database: Database,
  { targets, undecrypted }: FoundErasure & { readonly targets: ErasureTargets },
  { reason, isDryRun, onProgress }: EraseOptions,
): Promise<ErasureResult> {
  try {
    const report = await eraseTargets(database, targets, {
      reason: reason ?? undefined,
      isDryRun,
      nowMs: 'database',
      onUndecryptable: undecrypted.add,
      ...(isDryRun || onProgress === undefined ? {} : { onProgress }),
    })
    return { isDryRun, reason, targets, report, undecrypted: undecrypted.byTable() }
  } finally {
    // Targets that were erased before a failure are committed.
    if (!isDryRun) await announceChanges(database)
  }
}
