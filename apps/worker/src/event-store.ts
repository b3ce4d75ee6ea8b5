import type {
  DeadLetter,
  Failure,
  ReplayOptions,
  ReplayOutcome,
  StoreOutcome,
  StoreOutcomes,
} from '@persona-ingest/database'
import type { PersonaEvent } from '@persona-ingest/persona'

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
