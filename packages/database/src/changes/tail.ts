import type { Database } from '../database.ts'
import { failureOf, readsAsOutage } from '../sql/failure.ts'
import { CursorExpiredError, readChanges, readTickRange, type ChangeRow } from './reads.ts'

const POLL_EVERY_MS = 200
const AGAIN_AFTER_OUTAGE_MS = 1_000
/** A tick of a rebuild may hold millions of changes. */
const PER_PART = 1_000

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

/**
 * Follows the change feed from a tick until the signal, in parts of at most 1,000 changes; it stores no cursor. An outage
 * of the database is waited for and reported to `onOutage` once. Rejects with a `CursorExpiredError` where the tick that
 * it stands at has expired, and with the database's error.
 */
export async function* tailChanges(
  database: Database,
  options: {
    readonly from: bigint
    readonly signal: AbortSignal
    readonly onOutage: (description: string) => void
  },
): AsyncGenerator<readonly ChangeRow[], void, undefined> {
  const { from, signal, onOutage } = options
  const place = { afterTick: from, upToTick: from, afterSeq: 0n, limit: PER_PART }
  let isOut = false
  const next = async (): Promise<readonly ChangeRow[]> => {
    if (place.upToTick > place.afterTick) return await readChanges(database, place)
    const range = await readTickRange(database)
    // A restored database may count from below.
    if (range.latest < place.afterTick) throw new CursorExpiredError(place.afterTick, range)
    place.upToTick = range.latest
    return place.upToTick > place.afterTick ? await readChanges(database, place) : []
  }
  while (!signal.aborted) {
    let changes: readonly ChangeRow[]
    try {
      changes = await next()
      isOut = false
    } catch (error) {
      const failure = failureOf(error)
      if (error instanceof CursorExpiredError || !readsAsOutage(failure)) throw error
      if (!isOut) onOutage(failure.description)
      isOut = true
      await pause(AGAIN_AFTER_OUTAGE_MS, signal)
      continue
    }
    if (changes.length > 0) yield changes
    if (changes.length === PER_PART) {
      place.afterSeq = changes.at(-1)?.seq ?? 0n
      continue
    }
    if (place.upToTick === place.afterTick) await pause(POLL_EVERY_MS, signal)
    place.afterTick = place.upToTick
    place.afterSeq = 0n
  }
}
