import {
  failureOf,
  readErasureEpoch,
  readsAsOutage,
  redactDelivery,
  replayEvent,
  storeDeadLetter,
  storeEvents,
  tryStoring,
  tryWriting,
  type Database,
  type DeadLetter,
  type Failure,
  type ReplayOptions,
  type ReplayOutcome,
  type StoreCause,
  type StoreOptions,
  type StoreOutcome,
  type StoreOutcomes,
} from '@persona-ingest/database'
import type { PersonaEvent } from '@persona-ingest/persona'
import type { Outage } from './outage.ts'

/** The part of the database that the worker uses. `failureOf` classifies the errors of all calls. */
export interface EventStore {
  storeEvents(events: readonly PersonaEvent[], options?: StoreOptions): Promise<StoreOutcomes>
  storeDeadLetter(deadLetter: DeadLetter): Promise<void>
  /** Resolves to the body that the redactions and erasures known now leave of a delivery; null where they change nothing. */
  redactDelivery(delivery: Pick<DeadLetter, 'body' | 'environment' | 'receivedAtMs'>): Promise<Uint8Array | null>
  /** Changes with every redaction and erasure. */
  erasureEpoch(): Promise<string>
  replayEvent(eventId: string, options: ReplayOptions): Promise<ReplayOutcome>
  /** Resolves only where the database takes writes. */
  tryWriting(): Promise<void>
  /** Resolves only where the database takes the write of an event. The write is rolled back. */
  tryStoring(): Promise<void>
  failureOf(error: unknown): Failure
}

/** Returns the worker's part of an open database. `onCommit` is called where rows may have changed. */
export function eventStore(database: Database, onCommit: () => void = () => undefined): EventStore {
  const committed = <T>(result: T): T => {
    onCommit()
    return result
  }
  return {
    storeEvents: async (events, options) => committed(await storeEvents(database, events, options)),
    storeDeadLetter: (deadLetter) => storeDeadLetter(database, deadLetter),
    erasureEpoch: () => readErasureEpoch(database),
    redactDelivery: (delivery) => redactDelivery(database, delivery),
    replayEvent: async (eventId, options) => committed(await replayEvent(database, eventId, options)),
    tryWriting: () => tryWriting(database),
    tryStoring: () => tryStoring(database),
    failureOf,
  }
}

/** The outcome of an event that was given to the database. */
export type StoreVerdict =
  | { readonly verdict: 'stored'; readonly outcome: StoreOutcome; readonly batchSize: number }
  /** The database refuses the event's values; a retry fails again. */
  | { readonly verdict: 'refused'; readonly failure: Failure }
  /** The event failed alone while others passed: one attempt is used up. */
  | { readonly verdict: 'failed'; readonly failure: Failure }
  /** The event failed alone with no proof yet that the cause is its own, or it needs a key. No attempt is used up. */
  | { readonly verdict: 'deferred'; readonly failure: Failure; readonly delayMs: number }
  /** The worker shuts down during an outage. No attempt is used up. */
  | { readonly verdict: 'requeued' }

/** Called once per event, as soon as its verdict is known. */
type Report = (eventId: string, verdict: StoreVerdict) => void

type StoreContext = {
  readonly store: EventStore
  readonly outage: Outage
  /** Told in the change feed with the rows that change. */
  readonly cause: StoreCause
}

/** Conflicts between transactions pass when the write is tried again. */
const CONFLICT_STATES = new Set(['40001', '40P01'])
/** A write that conflicts more often fails for another cause. */
const MAX_CONFLICTS = 5

/** Whether the database takes the write of an event of the worker's own. Never rejects. */
export async function takesEvents(store: EventStore): Promise<boolean> {
  return store.tryStoring().then(
    () => true,
    () => false,
  )
}

/** The step after a failed write: wait for the database, write the same events again, or find the events at fault. */
type Next = 'wait' | 'again' | 'split'

/** The state that is common to the parts of one batch. */
class Batch {
  readonly #context: StoreContext
  readonly #report: Report
  readonly #storedBefore: number
  /** The failure that ended a split, because several events met it one by one: it reads as an outage. */
  #outageFailure: Failure | null = null

  constructor(context: StoreContext, report: Report) {
    this.#context = context
    this.#report = report
    this.#storedBefore = context.outage.loneFailures.stored
  }

  async store(events: readonly PersonaEvent[]): Promise<void> {
    let pending = events
    for (;;) {
      pending = await this.#storeOrSplit(pending)
      if (this.#outageFailure === null) return
      const { description } = this.#outageFailure
      this.#outageFailure = null
      if (!(await this.#context.outage.wait(description))) return this.#reportAll(pending, { verdict: 'requeued' })
    }
  }

  #reportAll(events: readonly PersonaEvent[], verdict: StoreVerdict): void {
    for (const { id } of events) this.#report(id, verdict)
  }

  /** Resolves to the events without a verdict: the rest of a split that ended because of an outage. */
  async #storeOrSplit(events: readonly PersonaEvent[]): Promise<readonly PersonaEvent[]> {
    const [first] = events
    if (first === undefined) return []
    const failure = await this.#storeWhole(events)
    if (failure === null) return []
    if (events.length === 1) {
      this.#reportAlone(first, failure)
      return []
    }
    const middle = Math.ceil(events.length / 2)
    const left = await this.#storeOrSplit(events.slice(0, middle))
    const rest = events.slice(middle)
    return this.#outageFailure === null ? this.#storeOrSplit(rest) : [...left, ...rest]
  }

  /** Waits out outages. Resolves to null where every event has a verdict, else to a failure that one event may cause. */
  async #storeWhole(events: readonly PersonaEvent[]): Promise<Failure | null> {
    const { outage } = this.#context
    for (let isSecondTry = false; ;) {
      const failure = await this.#tryStoring(events)
      if (failure === null) return null
      const next = await this.#next(events, failure, isSecondTry)
      if (next === 'split') return failure
      isSecondTry = next === 'again'
      if (next === 'again' || (await outage.wait(failure.description))) continue
      this.#reportAll(events, { verdict: 'requeued' })
      return null
    }
  }

  async #next(events: readonly PersonaEvent[], failure: Failure, isSecondTry: boolean): Promise<Next> {
    if (failure.kind === 'event' || failure.kind === 'key') return 'split'
    if (!(await takesEvents(this.#context.store))) return 'wait'
    // The cause may have ended before this check, so that the same events are written once more. An unclear failure needs no
    // second try where proof follows anyway: from the halves of the batch, or from other events that are stored.
    const isProvenLater = failure.kind === 'unclear' && (events.length > 1 || readsAsOutage(failure))
    return isSecondTry || isProvenLater ? 'split' : 'again'
  }

  async #tryStoring(events: readonly PersonaEvent[]): Promise<Failure | null> {
    const { store, outage, cause } = this.#context
    for (let conflicts = 0; ; conflicts += 1) {
      try {
        const outcomes = await store.storeEvents(events, { cause })
        outage.noteStored([...outcomes].flatMap(([id, outcome]) => (outcome === 'duplicate' ? [] : [id])))
        for (const [id, outcome] of outcomes) this.#report(id, { verdict: 'stored', outcome, batchSize: events.length })
        return null
      } catch (error) {
        outage.noteAnswer()
        const failure = store.failureOf(error)
        if (!CONFLICT_STATES.has(failure.sqlState ?? '') || conflicts >= MAX_CONFLICTS) return failure
      }
    }
  }

  #reportAlone({ id }: PersonaEvent, failure: Failure): void {
    const { loneFailures } = this.#context.outage
    if (failure.kind === 'event') return this.#report(id, { verdict: 'refused', failure })
    const blame = loneFailures.judge(id, failure, this.#storedBefore)
    if (blame.blame === 'own') return this.#report(id, { verdict: 'failed', failure })
    this.#report(id, { verdict: 'deferred', failure, delayMs: blame.delayMs })
    if (failure.kind !== 'key' && loneFailures.looksLikeOutage) this.#outageFailure = failure
  }
}

/**
 * Stores a batch and reports the verdict of each event, as soon as it is known. Never rejects.
 *
 * - An outage costs only time: the batch waits and is written again for as long as the outage lasts. At a graceful
 *   shutdown its events are requeued.
 * - A failure that the events cause is searched by halves until the faulty event stands alone, in O(log n) writes. All
 *   other events are stored.
 * - A failure that reads as an outage, although the worker's own write passes, is searched by halves as well. An event that
 *   meets it alone is requeued until other events prove the cause. Where two meet it and none passes, the rest waits.
 * - A stored document that can't be decrypted requeues the event that needs it, and no other.
 */
export async function storeBatch(
  context: StoreContext,
  events: readonly PersonaEvent[],
  report: Report,
): Promise<void> {
  await new Batch(context, report).store(events)
}
