import { setTimeout as delay } from 'node:timers/promises'

import { readsAsOutage, type Failure } from '@persona-ingest/database'

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 3_000

/** Doubling waits with jitter, so that many workers do not come back to a database all at once. */
function waitMs(failures: number): number {
  const longest = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 10), LONGEST_WAIT_MS)
  return longest * (0.5 + Math.random() / 2)
}

/** What a worker knows of an outage of its database: since when, and how to wait it out. */
export class Outage {
  readonly #draining: AbortSignal
  readonly #onChange: (isOut: boolean, description: string) => void
  readonly loneFailures = new LoneFailures()
  #failures = 0
  #answers = 0

  constructor(options: { draining: AbortSignal; onChange: (isOut: boolean, description: string) => void }) {
    this.#draining = options.draining
    this.#onChange = options.onChange
  }

  get isOut(): boolean {
    return this.#failures > 0
  }

  /** How many writes of events came to an end, one way or the other. Where this grows, the worker does not stand still. */
  get answers(): number {
    return this.#answers
  }

  /** Notes that a write of events was refused, or not answered in its time. */
  noteAnswer(): void {
    this.#answers += 1
  }

  /** Notes that the database took events: these, and perhaps some that it had already. */
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

  /** Notes a failure and waits before the next try; false where the worker drains and should hand its jobs back. */
  async wait(description: string): Promise<boolean> {
    this.#failures += 1
    if (this.#failures === 1) this.#onChange(true, description)
    if (this.#draining.aborted) return false
    await delay(waitMs(this.#failures), undefined, { signal: this.#draining }).catch(() => undefined)
    return !this.#draining.aborted
  }
}

/** More would be an outage by any measure; the oldest are forgotten first. */
const MAX_REMEMBERED = 10_000
const FIRST_DELAY_MS = 1_000
const LONGEST_DELAY_MS = 10_000
/** A key comes with a restart of this process: there is no hurry. */
const LONGEST_DELAY_FOR_KEY_MS = 30_000

type Failed = {
  /** How many events were stored when the batch began in which it failed alone for the first time. */
  readonly storedBefore: number
  /** How many were stored when it failed the last time. */
  readonly storedAtLast: number
  readonly times: number
}

/** `own`: the event is to blame, an attempt is used up. `unproven`: it comes back after `delayMs`, none is used up. */
type Blame = { readonly blame: 'own' } | { readonly blame: 'unproven'; readonly delayMs: number }

function jittered(ms: number): number {
  return Math.round(ms * (0.75 + Math.random() / 4))
}

function isShortage({ sqlState }: Failure): boolean {
  return sqlState?.startsWith('53') === true
}

/**
 * Tells whose failure it is that one event meets alone while the database takes a write of ours.
 *
 * What reads as an outage (a timeout, a conflict, read-only, out of disk) is the event's own only where other events were
 * stored between two of its failures. Where none came in between, those that were stored since the batch of its first
 * failure count, unless another event fails alone too or the database is short of something: our own write is small.
 */
class LoneFailures {
  #stored = 0
  /** Events that failed alone since one was stored last. */
  readonly #sinceStored = new Set<string>()
  readonly #failed = new Map<string, Failed>()

  /** Events stored so far, duplicates not counted. */
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
    const longestMs = isUnclear ? LONGEST_DELAY_MS : LONGEST_DELAY_FOR_KEY_MS
    return { blame: 'unproven', delayMs: jittered(Math.min(FIRST_DELAY_MS * 2 ** Math.min(times - 1, 10), longestMs)) }
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
