import type { Environment } from '@persona-ingest/persona'

type Received = {
  readonly environment: Environment
  /** When the request's last byte was received, in ms since 1970. */
  readonly receivedAtMs: number
  /** The bytes as received; need not be UTF-8. */
  readonly body: Uint8Array
  /** Binds the log lines of ingress and worker together. */
  readonly requestId?: string | undefined
  /** The span of the request, as W3C's `traceparent`: one trace from the request to the tables. Only where it is traced. */
  readonly traceParent?: string | undefined
  /** Whether an operator replays a dead letter; the change feed tells it as the cause. */
  readonly isReplayed?: boolean | undefined
}

/** An authentic delivery between ingress and worker: a usable event, or bytes that are not usable as one. */
export type Delivery =
  | ({ readonly kind: 'event'; readonly eventId: string } & Received)
  | ({ readonly kind: 'quarantined'; readonly reason: string; readonly eventId: string | null } & Received)

/** A request to process an event of the log again. It has the id of the event and none of its content. */
export type Replay = { readonly kind: 'replay'; readonly eventId: string }

/** A delivery or replay that this process has in flight: no other gets it until it is finished or the process dies. */
export type InFlightDelivery = (Delivery | Replay) & {
  /** Attempts used up so far; 0 the first time, and still 0 after any number of requeues. */
  readonly attemptsMade: number
  /** How often a process died (or froze) while it had this delivery in flight. */
  readonly stalledCount: number
}

/**
 * What the worker does with a delivery in flight.
 *
 * - `ack`: stored, or kept as a dead letter; it leaves the queue.
 * - `retry`: one attempt is used up; it comes back after the backoff. `reason` is kept in Redis: no personal data in it.
 * - `requeue`: goes back to the queue without using up an attempt, for `delayMs` milliseconds (0: at once).
 *
 * Where `body` is given, the queue keeps it in place of the received bytes.
 */
export type DeliveryOutcome =
  | { readonly action: 'ack' }
  | { readonly action: 'retry'; readonly reason: string; readonly body?: Uint8Array | undefined }
  | { readonly action: 'requeue'; readonly delayMs: number; readonly body?: Uint8Array | undefined }
