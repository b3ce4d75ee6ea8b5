import { readEnvelope, type Environment, type QuarantineReason } from '@persona-ingest/persona'
import { QueueUnavailableError, type Delivery, type Producer } from '@persona-ingest/queue'
import { withDeadline, type Deadline } from '@persona-ingest/core'
import { IngressError } from '../errors.ts'
import type { IngressMetrics } from '../metrics.ts'
import type { Backlog } from './backlog.ts'
import type { Patience } from './patience.ts'

export type AcceptDeps = {
  readonly producer: Pick<Producer, 'enqueue'>
  readonly backlog: Pick<Backlog, 'refuseOverLimit'>
  readonly metrics: Pick<IngressMetrics, 'enqueues'>
  readonly patience: Patience
}

/** What came over the port: its reasons are those of the envelope, not just any text. */
export type AuthenticDelivery =
  | Extract<Delivery, { kind: 'event' }>
  | (Extract<Delivery, { kind: 'quarantined' }> & { readonly reason: QuarantineReason })

/** Turns authentic bytes into what is enqueued: a usable event, or bytes to be kept with the reason. */
export function deliveryOf(received: {
  body: Uint8Array
  environment: Environment
  receivedAtMs: number
  requestId: string
  traceParent?: string | undefined
}): AuthenticDelivery {
  const envelope = readEnvelope(received.body, received.receivedAtMs)
  return envelope.ok
    ? { kind: 'event', eventId: envelope.eventId, ...received }
    : { kind: 'quarantined', reason: envelope.reason, eventId: envelope.eventId, ...received }
}

async function enqueue(
  delivery: Delivery,
  { producer, metrics, patience }: AcceptDeps,
  deadline: Deadline,
): Promise<void> {
  const stop = metrics.enqueues.startTimer()
  try {
    await producer.enqueue(delivery, deadline)
    // A late confirmation counts too: Redis answers again.
    patience.noteConfirmed()
    stop({ result: deadline.signal.aborted ? 'QUEUE_TOO_SLOW' : 'confirmed' })
  } catch (error) {
    const fault = error instanceof QueueUnavailableError ? error.code : 'UNKNOWN'
    stop({ result: fault })
    if (fault === 'QUEUE_TOO_SLOW') patience.noteTooSlow()
    // Whatever went wrong, it is not stored: the provider must send it again.
    throw new IngressError('QUEUE_UNAVAILABLE', error)
  }
}

/**
 * Puts an authentic delivery into the queue; resolves once it is durable.
 *
 * `readingMs`, `verifyingMs`: how long its body took to be read, and its signature to be verified. The deadline of the
 * acknowledgement is the one deadline of the enqueue. Throws an `IngressError` (`QUEUE_UNAVAILABLE`, `BACKLOG_EXCEEDED`)
 * when the deadline is exceeded, or earlier.
 */
export async function acceptDelivery(
  { delivery, readingMs, verifyingMs = 0 }: { delivery: Delivery; readingMs: number; verifyingMs?: number },
  deps: AcceptDeps,
): Promise<void> {
  await withDeadline(
    deps.patience.forDelivery(readingMs, verifyingMs),
    async (deadline) => {
      await deps.backlog.refuseOverLimit()
      await enqueue(delivery, deps, deadline)
    },
    () => {
      deps.patience.noteTooSlow()
      throw new IngressError('QUEUE_UNAVAILABLE', new QueueUnavailableError('QUEUE_TOO_SLOW'))
    },
  )
}
