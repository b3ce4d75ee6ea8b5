import { setTimeout as delay } from 'node:timers/promises'
import { backoffMs } from '@persona-ingest/core'
import { readsAsOutage, type Failure } from '@persona-ingest/database'

/**
 * Waits between two writes during an outage, in ms: 50 to 100 % of 100, 200, 400, 800, 1,600, then of 3,000 each. The jitter
 * keeps several workers from coming back to a database at the same moment.
 */
const OUTAGE_BACKOFF = { firstMs: 100, longestMs: 3_000, jitter: 0.5 }
/** Delays of an event that fails alone, in ms: 75 to 100 % of 1,000, 2,000, 4,000, 8,000, then of 10,000 each. */
const DEFERRED_BACKOFF = { firstMs: 1_000, longestMs: 10_000, jitter: 0.25 }
/** As above, up to 30,000 ms: a missing key comes with a restart of this process, so that more tries do not help. */
const KEY_BACKOFF = { ...DEFERRED_BACKOFF, longestMs: 30_000 }
/** Events that failed alone and are remembered; the oldest are forgotten first. More would be an outage. */
const MAX_REMEMBERED = 10_000

/** The outage of a database as one worker sees it: whether it lasts, and the wait before the next write. */
export class Outage {
  readonly #shutdown: AbortSignal
  readonly #onChange: (isOut: boolean, description: string) => void
  readonly loneFailures = new LoneFailures()
  #failures = 0
  #answers = 0

  /** `shutdown` ends every wait. `onChange` is called once when an outage begins and once when it ends. */
  constructor(options: { shutdown: AbortSignal; onChange: (isOut: boolean, description: string) => void }) {
    this.#shutdown = options.shutdown
    this.#onChange = options.onChange
  }

  get isOut(): boolean {
    return this.#failures > 0
  }

  /** Writes of events that ended, with or without success. While the number grows, the worker makes progress. */
  get answers(): number {
    return this.#answers
  }

  /** Notes that a write of events was refused, or not answered in its time. */
  noteAnswer(): void {
    this.#answers += 1
  }

  /** Notes that the database took events; `eventIds` names those that are no duplicates. */
  noteStored(eventIds: readonly string[]): void {
    this.noteAnswer()
    if (eventIds.length > 0) this.loneFailures.noteStored(eventIds)
    this.end()
  }

  /** Notes that the database took a write. */
  end(): void {
    if (this.isOut) this.#onChange(false, '')
    this.#failures = 0
  }

  /** Notes a failure and waits before the next try. Resolves to false at a graceful shutdown: requeue then. */
  async wait(description: string): Promise<boolean> {
    this.#failures += 1
    if (this.#failures === 1) this.#onChange(true, description)
    if (this.#shutdown.aborted) return false
    const waitMs = backoffMs(this.#failures, OUTAGE_BACKOFF)
    await delay(waitMs, undefined, { signal: this.#shutdown }).catch(() => undefined)
    return !this.#shutdown.aborted
  }
}

type Failed = {
  /** Events stored when the batch began in which this event failed alone for the first time. */
  readonly storedBefore: number
  /** Events stored when this event failed the last time. */
  readonly storedAtLast: number
  readonly times: number
}

/** `own`: the event causes the failure, one attempt is used up. `unproven`: it is requeued for `delayMs`, none is used up. */
type Blame = { readonly blame: 'own' } | { readonly blame: 'unproven'; readonly delayMs: number }

/** SQLSTATE class 53: out of disk, memory or connections. */
function isShortage({ sqlState }: Failure): boolean {
  return sqlState?.startsWith('53') === true
}

/**
 * Decides whether an event causes a failure that it meets alone, while the database takes a write of the worker's own.
 *
 * A failure that reads as an outage (a timeout, a conflict, read-only, out of disk) is the event's own where other events
 * were stored between two of its failures. Without any in between, events stored since the batch of its first failure
 * count. They do not count while another event fails alone too, or while the database is short of a resource.
 */
class LoneFailures {
  #stored = 0
  /** Events that failed alone since one was stored last. */
  readonly #sinceStored = new Set<string>()
  readonly #failed = new Map<string, Failed>()

  /** Events stored so far, without duplicates. */
  get stored(): number {
    return this.#stored
  }

  /** Whether several events failed alone and none was stored in between: that is an outage. */
  get looksLikeOutage(): boolean {
    return this.#sinceStored.size > 1
  }

  noteStored(eventIds: Iterable<string>): void {
    for (const eventId of eventIds) {
      this.#stored += 1
      this.#failed.delete(eventId)
    }
    this.#sinceStored.clear()
  }

  judge(eventId: string, failure: Failure, storedBefore: number): Blame {
    const isUnclear = readsAsOutage(failure)
    if (!isUnclear && failure.kind !== 'key') return { blame: 'own' }
    const known = this.#failed.get(eventId)
    if (isUnclear) this.#sinceStored.add(eventId)
    const isOwn = isUnclear && known !== undefined && this.#isProven(known, failure)
    const times = isOwn ? 0 : (known?.times ?? 0) + 1
    this.#remember(eventId, { storedBefore: known?.storedBefore ?? storedBefore, storedAtLast: this.#stored, times })
    if (isOwn) return { blame: 'own' }
    return { blame: 'unproven', delayMs: Math.round(backoffMs(times, isUnclear ? DEFERRED_BACKOFF : KEY_BACKOFF)) }
  }

  #isProven(known: Failed, failure: Failure): boolean {
    if (this.#stored > known.storedAtLast) return true
    return this.#stored > known.storedBefore && !this.looksLikeOutage && !isShortage(failure)
  }

  #remember(eventId: string, failed: Failed): void {
    this.#failed.delete(eventId)
    this.#failed.set(eventId, failed)
    for (const oldest of this.#failed.keys()) {
      if (this.#failed.size <= MAX_REMEMBERED) break
      this.#failed.delete(oldest)
    }
  }
}
