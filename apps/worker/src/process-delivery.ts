import { withDeadline } from '@persona-ingest/core'
import type { Failure } from '@persona-ingest/database'
import { UnusableEventError, type PersonaEvent } from '@persona-ingest/persona'
import type { DeliveryOutcome, InFlightDelivery } from '@persona-ingest/queue'
import { inSpan } from '@persona-ingest/service'
import { heapBytesOf, type Commit } from './commit.ts'
import { keepDeadLetter, type DeadLetterContext, type DeliveryWithBody } from './dead-letter.ts'
import { takesEvents, type EventStore, type StoreVerdict } from './store-batch.ts'

export type ProcessContext = DeadLetterContext & {
  readonly commit: Commit
  readonly maxAttempts: number
}

type DeliveryOfEvent = Extract<InFlightDelivery, { kind: 'event' }>
type ReplayInFlight = Extract<InFlightDelivery, { kind: 'replay' }>

const ACK: DeliveryOutcome = { action: 'ack' }
const REQUEUE_NOW: DeliveryOutcome = { action: 'requeue', delayMs: 0 }
/** Longest wait of a requeued delivery for the database, so that an outage does not hold it up. */
const REDUCE_DEADLINE_MS = 2_000

/** Processes a delivery in a span that continues the trace of the request that brought it. */
async function processTraced(context: ProcessContext, delivery: InFlightDelivery): Promise<DeliveryOutcome> {
  const traceParent = delivery.kind === 'replay' ? undefined : delivery.traceParent
  const { kind, eventId, attemptsMade } = delivery
  const attributes = { kind, attemptsMade, ...(eventId === null ? {} : { eventId }) }
  return inSpan('settle delivery', { traceParent, isConsumer: true, attributes }, async (note) => {
    const outcome = await processDelivery(context, delivery)
    note({ outcome: outcome.action })
    return outcome
  })
}

/**
 * Processes one delivery in flight: ack, retry or requeue. A delivery that a redaction reached meanwhile goes back to the
 * queue with a reduced body.
 *
 * ```text
 * quarantined ─────────────────────────────────────────► dead letter
 * event ──read──► batch ──► stored (applied, stale, duplicate) ─► ack
 *            │          ├─► refused by PostgreSQL (22, 23, 54) ─► dead letter at once
 *            │          ├─► failed alone while others passed ─► retry, after MAX_ATTEMPTS a dead letter
 *            │          ├─► failed alone, cause not known yet, or a key is missing ─► requeue with a delay
 *            │          └─► outage during a graceful shutdown ─► requeue at once
 *            └─ unreadable ─► dead letter
 * replay ──────────────────────────────────────────────► processed again from the log
 * ```
 */
export async function processDelivery(context: ProcessContext, delivery: InFlightDelivery): Promise<DeliveryOutcome> {
  if (delivery.kind === 'replay') return processReplay(context, delivery)
  const outcome =
    delivery.kind === 'event'
      ? await processEvent(context, delivery)
      : await keepDeadLetter(context, delivery, {
          reason: delivery.reason,
          error: 'the body is no usable event',
          attempts: 0,
        })
  return await reduceRequeued(context.store, delivery, outcome)
}

async function processEvent(context: ProcessContext, delivery: DeliveryOfEvent): Promise<DeliveryOutcome> {
  const attempts = delivery.attemptsMade + 1
  const committed = await context.commit(delivery)
  if ('readError' in committed) {
    const { readError: error } = committed
    if (error instanceof UnusableEventError)
      return keepDeadLetter(context, delivery, { reason: error.reason, error: error.message, attempts })
    return failAttempt(context, delivery, context.store.failureOf(error).description)
  }
  const { event, verdict } = committed
  switch (verdict.verdict) {
    case 'stored':
      noteStored(context, delivery, event, verdict)
      return ACK
    case 'requeued':
      return REQUEUE_NOW
    case 'refused':
      return keepDeadLetter(context, delivery, {
        reason: 'VALUE_REFUSED',
        error: verdict.failure.description,
        attempts,
      })
    case 'deferred':
      return requeueDeferred(context, delivery, verdict)
    case 'failed':
      return failAttempt(context, delivery, verdict.failure.description)
  }
}

function noteStored(
  { logger, metrics }: ProcessContext,
  { requestId }: DeliveryOfEvent,
  event: PersonaEvent,
  { outcome, batchSize }: Extract<StoreVerdict, { verdict: 'stored' }>,
): void {
  const { id: eventId, name, environment } = event
  const nowMs = Date.now()
  metrics.events.inc({ outcome, environment })
  if (outcome !== 'duplicate') {
    metrics.receiptToStored.observe(Math.max(0, nowMs - event.receivedAtMs) / 1000)
    metrics.createdToStored.observe(Math.max(0, nowMs - event.clock.createdAtMs) / 1000)
  }
  // A decisioning workflow of the provider failed: the persons concerned get no decision. An alert watches this counter.
  if (name === 'workflow-run.errored') metrics.workflowErrors.inc({ environment })
  logger.info({ requestId, eventId, environment, outcome, batchSize }, 'event stored')
}

/** Uses up one attempt; after the last one the event becomes a dead letter. */
async function failAttempt(
  context: ProcessContext,
  delivery: DeliveryWithBody,
  description: string,
): Promise<DeliveryOutcome> {
  const { logger, metrics, maxAttempts } = context
  const { requestId, eventId } = delivery
  const attempts = delivery.attemptsMade + 1
  if (attempts >= maxAttempts)
    return keepDeadLetter(context, delivery, { reason: 'ATTEMPTS_EXHAUSTED', error: description, attempts })
  logger.warn({ requestId, eventId, attempts, description }, 'event failed, retrying')
  metrics.retries.inc()
  return { action: 'retry', reason: description }
}

/** Requeues a delivery without using up an attempt, and logs what it waits for. */
function requeueDeferred(
  { logger, metrics }: ProcessContext,
  { eventId, requestId }: { readonly eventId: string | null; readonly requestId?: string | undefined },
  { failure, delayMs }: { readonly failure: Failure; readonly delayMs: number },
): DeliveryOutcome {
  const { description, key } = failure
  const reason = key === undefined ? 'unproven' : key.isHere ? 'not_decryptable' : 'key_missing'
  metrics.deferred.inc({ reason, key_id: key?.id ?? '' })
  const keyId = key === undefined ? {} : { keyId: key.id }
  logger.warn({ requestId, eventId, ...keyId, reason, description, delayMs }, 'event put back, no attempt used up')
  return { action: 'requeue', delayMs }
}

/**
 * Processes an event of the log again, as it is stored now. An outage or a missing key costs only time; an event that
 * fails alone while others pass uses up its attempts.
 */
async function processReplay(context: ProcessContext, replay: ReplayInFlight): Promise<DeliveryOutcome> {
  const { store, outage, memory, logger, metrics } = context
  const { eventId } = replay
  const takeMemory = async (body: Uint8Array) => await memory.take(heapBytesOf(body))
  const storedBefore = outage.loneFailures.stored
  for (;;) {
    try {
      const outcome = await store.replayEvent(eventId, { takeMemory })
      outage.end()
      metrics.replays.inc({ outcome })
      logger.info({ eventId, outcome }, 'event replayed')
      return ACK
    } catch (error) {
      const failure = store.failureOf(error)
      if (failure.kind === 'event') return failReplay(context, replay, failure.description)
      if (failure.kind === 'key' || (await takesEvents(store))) {
        const blame = outage.loneFailures.judge(eventId, failure, storedBefore)
        if (blame.blame === 'own') return failReplay(context, replay, failure.description)
        return requeueDeferred(context, replay, { failure, delayMs: blame.delayMs })
      }
      if (!(await outage.wait(failure.description))) return REQUEUE_NOW
    }
  }
}

/** Uses up one attempt of a replay. After the last one nothing is lost: the event stays in the log. */
function failReplay(
  { maxAttempts, logger, metrics }: ProcessContext,
  { eventId, attemptsMade }: ReplayInFlight,
  description: string,
): DeliveryOutcome {
  const attempts = attemptsMade + 1
  if (attempts < maxAttempts) {
    logger.warn({ eventId, attempts, description }, 'replay failed, retrying')
    metrics.retries.inc()
    return { action: 'retry', reason: description }
  }
  metrics.replays.inc({ outcome: 'failed' })
  logger.error({ eventId, attempts, description }, 'replay failed, given up; the event is in the log')
  return ACK
}

/**
 * Reduces the body of a delivery that goes back to the queue, where a redaction or erasure reaches it: its next try may
 * be hours away. Without an answer of the database within 2 s the body stays. Never rejects.
 */
export async function reduceRequeued(
  store: Pick<EventStore, 'redactDelivery'>,
  delivery: DeliveryWithBody,
  outcome: DeliveryOutcome,
): Promise<DeliveryOutcome> {
  if (outcome.action === 'ack') return outcome
  const body = await withDeadline(
    REDUCE_DEADLINE_MS,
    () => store.redactDelivery(delivery).catch(() => null),
    () => null,
  )
  return body === null ? outcome : { ...outcome, body }
}

/** The deliveries in flight, which a graceful shutdown can requeue although their processing has not ended. */
export class InFlightDeliveries {
  // A race against one long-lived promise would keep a reaction of every delivery for as long as the worker runs.
  readonly #resolvers = new Set<(outcome: DeliveryOutcome) => void>()

  /** Resolves as `processing` does, or to a requeue once {@link requeueAll} was called. */
  async track(processing: Promise<DeliveryOutcome>): Promise<DeliveryOutcome> {
    return new Promise((resolve, reject) => {
      this.#resolvers.add(resolve)
      processing.then(resolve, reject).finally(() => this.#resolvers.delete(resolve))
    })
  }

  /** Requeues everything in flight now. A write that still runs does no harm, since storing is idempotent. */
  requeueAll(): void {
    for (const resolve of this.#resolvers) resolve(REQUEUE_NOW)
  }
}

/** Returns the consumer's handler. It processes a delivery, unless {@link InFlightDeliveries.requeueAll} comes first. */
export function deliveryHandler(context: ProcessContext, inFlight: InFlightDeliveries) {
  return async (delivery: InFlightDelivery) => inFlight.track(processTraced(context, delivery))
}
