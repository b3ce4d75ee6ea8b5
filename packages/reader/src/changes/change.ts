// No file that the package's types come from imports pg, so that a program needs no types of pg.

/** The table of an object's row: `inquiries`, `verifications` or `resources`. */
export type ObjectFamily = 'inquiry' | 'verification' | 'resource'

/** Why a row changed; of several causes the last in this list. */
export type ChangeCause = 'event' | 'replay' | 'redaction' | 'erasure' | 'rebuild' | 'hydration'

/** A change of a row. It holds no personal data. @see docs/contract.md#6-change-feed-what-a-users-application-reads */
export type Change = {
  /** Orders the changes of a batch. Numbers have gaps, and those of a later batch may be smaller. */
  readonly seq: bigint
  readonly family: ObjectFamily
  readonly objectId: string
  /** An inquiry's own id; null where the object belongs to none. */
  readonly inquiryId: string | null
  /** The row's new version: one more with each change of the object, so that `(objectId, version)` is unique. */
  readonly version: bigint
  readonly cause: ChangeCause
  /** The event whose snapshot the row holds; null where the object is known by reference only. */
  readonly eventId: string | null
  /** Null too where a rebuild removed the row. */
  readonly status: string | null
  readonly previousStatus: string | null
  /** By the database's clock; it orders nothing. */
  readonly changedAt: Date
}

/** A client of `pg` in a transaction of the caller's own, or anything that runs SQL as it does. */
export interface Queryable {
  query(text: string, values: unknown[]): Promise<unknown>
}

/** Where a consumer begins: at its stored cursor, a new one at the newest tick; at the oldest tick kept; at a tick. */
export type From = 'now' | 'start' | bigint

export type ChangesOptions = {
  /** The name of the cursor, 1 to 255 characters. Each consumer gets every change. */
  readonly consumer: string
  /**
   * `now` (the default): at the stored cursor, a new consumer at the newest tick. `start`: likewise, but a new consumer at the
   * oldest tick that is kept. A tick: there, whatever is stored. Where a consumer begins is stored at once.
   */
  readonly from?: From | undefined
  /** Ends the iteration as `break` does, also while it waits. Batches in work can still be committed. */
  readonly signal?: AbortSignal | undefined
}

/** Changes in their order, never empty. */
export type ChangeBatch = {
  /** The tick up to which the feed was read. */
  readonly tick: bigint
  readonly changes: readonly Change[]
  /** Whether more changes up to this tick follow. A part stores no cursor: that of the last part stands for all. */
  readonly isPart: boolean
  /**
   * Stores the cursor: by itself, waiting for PostgreSQL where it is away, or with a client in the caller's own transaction. It
   * never moves back.
   */
  commit(client?: Queryable): Promise<void>
}

/** For `for await`; `return` ends it as `break` does, also while it waits. */
export interface ChangeIteration {
  next(): Promise<IteratorResult<ChangeBatch, void>>
  return(): Promise<IteratorResult<ChangeBatch, void>>
  [Symbol.asyncIterator](): ChangeIteration
}
