import type { Environment } from '@persona-ingest/persona'

type Received = {
  readonly environment: Environment
  /** When the request's last byte was here, in ms since 1970. */
  readonly receivedAtMs: number
  /** The bytes as received; need not be UTF-8. */
  readonly body: Uint8Array
  /** Binds the log lines of ingress and worker together. */
  readonly requestId?: string | undefined
  /** The span that received it, as W3C's `traceparent`: one trace from the port to the tables. Only where it is traced. */
  readonly traceParent?: string | undefined
}

/** An authentic delivery on its way from the port to the worker: a usable event, or bytes that can't be one. */
export type Delivery =
  | ({ readonly kind: 'event'; readonly eventId: string } & Received)
  | ({ readonly kind: 'quarantined'; readonly reason: string; readonly eventId: string | null } & Received)

/** The wish that an event of the log be processed again. It names the event and carries none of it. */
export type Replay = { readonly kind: 'replay'; readonly eventId: string }

/** A delivery or replay that this process holds: nobody else gets it until it is settled, or this process dies. */
export type HeldDelivery = (Delivery | Replay) & {
  /** Attempts used up so far; 0 the first time, and still 0 after any number of releases. */
  readonly attemptsMade: number
  /** How often a process died (or froze) while it held this delivery. */
  readonly stalledCount: number
}

/**
 * What becomes of a held delivery.
 *
 * - `done`: stored, or kept as a dead letter; it leaves the queue.
 * - `retry`: one attempt is used up; it comes back after the backoff. `reason` is kept in Redis: no personal data in it.
 * - `release`: goes back to the queue without using up an attempt, for `delayMs` (0: at once).
 *
 * Where `body` is given, the queue holds it in the place of the bytes received from then on.
 */
export type Settlement =
  | { readonly settle: 'done' }
  | { readonly settle: 'retry'; readonly reason: string; readonly body?: Uint8Array | undefined }
  | { readonly settle: 'release'; readonly delayMs: number; readonly body?: Uint8Array | undefined }
