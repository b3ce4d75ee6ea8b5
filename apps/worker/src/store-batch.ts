import {
  type DeadLetter,
  type Failure,
  readsAsOutage,
  type ReplayOptions,
  type ReplayOutcome,
  type StoreOutcome,
  type StoreOutcomes,
} from '@persona-ingest/database'
import type { PersonaEvent } from '@persona-ingest/persona'

import type { Outage } from './outage.ts'

/** The database as the worker uses it; `failureOf` judges whatever the calls reject with. */
export interface EventStore {
  storeEvents(events: readonly PersonaEvent[]): Promise<StoreOutcomes>
  storeDeadLetter(letter: DeadLetter): Promise<void>
  /** The body of a delivery as the erasures known now leave it; null where they leave it as it is. */
  reduceDelivery(delivery: Pick<DeadLetter, 'body' | 'environment' | 'receivedAtMs'>): Promise<Uint8Array | null>
  /** Moves with every redaction and erasure. */
  erasureEpoch(): Promise<string>
  replayEvent(eventId: string, options: ReplayOptions): Promise<ReplayOutcome>
  /** Resolves only where the database takes writes. */
  tryWriting(): Promise<void>
  /** Resolves only where the database takes the write of an event, which is rolled back. */
  tryStoring(): Promise<void>
  failureOf(error: unknown): Failure
}

/** What became of an event that was given to the database. */
export type StoreVerdict =
  | { readonly verdict: 'stored'; readonly outcome: StoreOutcome; readonly batchSize: number }
  /** No retry changes it. */
  | { readonly verdict: 'refused'; readonly failure: Failure }
  /** It failed alone while other events passed: an attempt is used up. */
  | { readonly verdict: 'failed'; readonly failure: Failure }
  /** It failed alone, and no other event tells whose failure it is; or it needs a key. No attempt is used up. */
  | { readonly verdict: 'deferred'; readonly failure: Failure; readonly delayMs: number }
  /** The worker drains during an outage: nothing was used up. */
  | { readonly verdict: 'released' }

/** Hears what became of an event as soon as it is known. */
export type Tell = (eventId: string, verdict: StoreVerdict) => void

type StoreContext = { readonly store: EventStore; readonly outage: Outage }

/** Conflicts between transactions pass when they are tried again; more often than this, it is no passing conflict. */
const CONFLICT_STATES = new Set(['40001', '40P01'])
const MAX_CONFLICTS = 5

/** Whether the database takes the write of an event that is none of these. */
export async function takesEvents(store: EventStore): Promise<boolean> {
  return store.tryStoring().then(
    () => true,
    () => false,
  )
}

/** What a failed batch is to do: wait for the database, try again as it is, or find the events at fault. */
type Next = 'wait' | 'again' | 'split'

/** One batch on its way: holds what is common to its parts. */
class Batch {
  readonly #context: StoreContext
  readonly #tell: Tell
  readonly #storedBefore: number
  /** The failure that ended a split, since every event seemed to meet it. */
  #outageFailure: Failure | null = null

  constructor(context: StoreContext, tell: Tell) {
    this.#context = context
    this.#tell = tell
    this.#storedBefore = context.outage.loneFailures.stored
  }

  async settle(events: readonly PersonaEvent[]): Promise<void> {
    let pending = events
    for (;;) {
      pending = await this.#storeOrSplit(pending)
      if (this.#outageFailure === null) return
      const { description } = this.#outageFailure
      this.#outageFailure = null
      if (!(await this.#context.outage.wait(description))) return this.#tellAll(pending, { verdict: 'released' })
    }
  }

  #tellAll(events: readonly PersonaEvent[], verdict: StoreVerdict): void {
    for (const { id } of events) this.#tell(id, verdict)
  }

  /** Gives the events that are not settled: those left when a split was ended for an outage. */
  async #storeOrSplit(events: readonly PersonaEvent[]): Promise<readonly PersonaEvent[]> {
    const [first] = events
    if (first === undefined) return []
    const failure = await this.#storeWhole(events)
    if (failure === null) return []
    if (events.length === 1) {
      this.#settleAlone(first, failure)
      return []
    }
    const middle = Math.ceil(events.length / 2)
    const left = await this.#storeOrSplit(events.slice(0, middle))
    const rest = events.slice(middle)
    return this.#outageFailure === null ? this.#storeOrSplit(rest) : [...left, ...rest]
  }

  /** Waits out outages. Null where nothing is left to do; else a failure that may be one event's. */
  async #storeWhole(events: readonly PersonaEvent[]): Promise<Failure | null> {
    const { outage } = this.#context
    for (let isSecondTry = false; ;) {
      const failure = await this.#tryStoring(events)
      if (failure === null) return null
      const next = await this.#next(events, failure, isSecondTry)
      if (next === 'split') return failure
      isSecondTry = next === 'again'
      if (next === 'again' || (await outage.wait(failure.description))) continue
      this.#tellAll(events, { verdict: 'released' })
      return null
    }
  }

  async #next(events: readonly PersonaEvent[], failure: Failure, isSecondTry: boolean): Promise<Next> {
    if (failure.kind === 'event' || failure.kind === 'key') return 'split'
    if (!(await takesEvents(this.#context.store))) return 'wait'
    // What ended between the failure and the question is nobody's fault. Where it reads as an outage, more proof follows.
    const isProvenLater = failure.kind === 'unclear' && (events.length > 1 || readsAsOutage(failure))
    return isSecondTry || isProvenLater ? 'split' : 'again'
  }

  async #tryStoring(events: readonly PersonaEvent[]): Promise<Failure | null> {
    const { store, outage } = this.#context
    for (let conflicts = 0; ; conflicts += 1) {
      try {
        const outcomes = await store.storeEvents(events)
        outage.noteStored([...outcomes].flatMap(([id, outcome]) => (outcome === 'duplicate' ? [] : [id])))
        for (const [id, outcome] of outcomes) this.#tell(id, { verdict: 'stored', outcome, batchSize: events.length })
        return null
      } catch (error) {
        outage.noteAnswer()
        const failure = store.failureOf(error)
        if (!CONFLICT_STATES.has(failure.sqlState ?? '') || conflicts >= MAX_CONFLICTS) return failure
      }
    }
  }

  #settleAlone({ id }: PersonaEvent, failure: Failure): void {
    const { loneFailures } = this.#context.outage
    if (failure.kind === 'event') return this.#tell(id, { verdict: 'refused', failure })
    const blame = loneFailures.judge(id, failure, this.#storedBefore)
    if (blame.blame === 'own') return this.#tell(id, { verdict: 'failed', failure })
    this.#tell(id, { verdict: 'deferred', failure, delayMs: blame.delayMs })
    if (failure.kind !== 'key' && loneFailures.looksLikeOutage) this.#outageFailure = failure
  }
}

/**
 * Stores a batch and tells what becomes of each event, as soon as it is known. Never rejects.
 *
 * - An outage costs time only: the batch waits and is tried again for as long as it lasts, or is handed back in a drain.
 * - A failure of the events' own: the batch is halved until the faulty event stands alone, in O(log n) writes; the
 *   others go through.
 * - A failure that reads as an outage, though our own write passes, is halved as well. An event that meets it alone goes
 *   back to the queue until other events prove whose failure it is. Where two meet it and none passes, the rest waits.
 * - A stored document that can't be decrypted puts back the event that needs it, and no other.
 */
export async function storeBatch(context: StoreContext, events: readonly PersonaEvent[], tell: Tell): Promise<void> {
  await new Batch(context, tell).settle(events)
}
