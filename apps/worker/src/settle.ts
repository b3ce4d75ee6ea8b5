import { readEvent, UnusableEventError, type PersonaEvent } from '@persona-ingest/persona'
import type { InFlightDelivery, DeliveryOutcome } from '@persona-ingest/queue'
import type { Logger } from '@persona-ingest/service'
import type { EventStore, StoreVerdict } from './event-store.ts'
import { heapBytesOf, type ByteBudget } from './memory-budget.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { Outage } from './outage.ts'
import { defer, putBack } from './put-back.ts'
import { takesEvents } from './store-batch.ts'
import { settleReplay } from './settle-replay.ts'

export type SettleContext = {
  readonly store: EventStore
  readonly outage: Outage
  /** What the events that are read and not stored yet may take of the heap. */
  readonly readBudget: ByteBudget
  readonly commit: (event: PersonaEvent) => Promise<StoreVerdict>
  readonly maxAttempts: number
  readonly logger: Logger
  readonly metrics: WorkerMetrics
}

type HeldBody = Exclude<InFlightDelivery, { kind: 'replay' }>

type Letter = { readonly reason: string; readonly error: string; readonly attempts: number }

const DONE: DeliveryOutcome = { action: 'ack' }
const RELEASE: DeliveryOutcome = { action: 'requeue', delayMs: 0 }
/** A dead letter that can't be written is no reason to drop it, or to hold others up: it comes back, and rests meanwhile. */
const LETTER_REST_MS = 5_000

async function bury(context: SettleContext, held: HeldBody, letter: Letter): Promise<DeliveryOutcome> {
  const giveBack = await context.readBudget.take(heapBytesOf(held.body))
  try {
    return await keepLetter(context, held, letter)
  } finally {
    giveBack()
  }
}

async function keepLetter(context: SettleContext, held: HeldBody, letter: Letter): Promise<DeliveryOutcome> {
  const { store, outage, logger, metrics } = context
  const { eventId, environment, body, receivedAtMs, requestId } = held
  for (;;) {
    try {
      await store.storeDeadLetter({ eventId, environment, body, receivedAtMs, ...letter })
      outage.end()
      metrics.events.inc({ outcome: 'dead', environment })
      const { reason, attempts, error: description } = letter
      logger.warn({ requestId, eventId, environment, reason, description, attempts }, 'delivery kept as a dead letter')
      return DONE
    } catch (error) {
      const failure = store.failureOf(error)
      if (failure.kind === 'event' || (await takesEvents(store))) {
        const { sqlState, description } = failure
        logger.error({ requestId, eventId, sqlState, description }, 'dead letter refused, trying again')
        return { action: 'requeue', delayMs: LETTER_REST_MS }
      }
      if (!(await outage.wait(failure.description))) return RELEASE
    }
  }
}

/** The letter of what no further try can read; null for any other failure. */
function unreadableLetter(error: unknown, attempts: number): Letter | null {
  return error instanceof UnusableEventError ? { reason: error.reason, error: error.message, attempts } : null
}

function noteStored(
  { logger, metrics }: SettleContext,
  { requestId }: HeldBody,
  event: PersonaEvent,
  verdict: StoreVerdict & { verdict: 'stored' },
): void {
  const { id: eventId, name, environment } = event
  const nowMs = Date.now()
  metrics.events.inc({ outcome: verdict.outcome, environment })
  if (verdict.outcome !== 'duplicate') {
    metrics.receiptToStored.observe(Math.max(0, nowMs - event.receivedAtMs) / 1000)
    metrics.createdToStored.observe(Math.max(0, nowMs - event.clock.createdAtMs) / 1000)
  }
  // A decisioning workflow of the provider broke: the people it concerns get no decision. Worth an alert.
  if (name === 'workflow-run.errored') metrics.workflowErrors.inc({ environment })
  const { outcome, batchSize } = verdict
  logger.info({ requestId, eventId, environment, outcome, batchSize }, 'event stored')
}

/** Uses up one attempt; after the last one the event is a dead letter. */
async function failAttempt(context: SettleContext, held: HeldBody, description: string): Promise<DeliveryOutcome> {
  const { logger, metrics, maxAttempts } = context
  const attempts = held.attemptsMade + 1
  if (attempts >= maxAttempts)
    return bury(context, held, { reason: 'ATTEMPTS_EXHAUSTED', error: description, attempts })
  logger.warn({ requestId: held.requestId, eventId: held.eventId, attempts, description }, 'event failed, retrying')
  metrics.retries.inc()
  return { action: 'retry', reason: description }
}

type Committed = { readonly event: PersonaEvent; readonly verdict: StoreVerdict } | { readonly unread: unknown }

/** Reads an event and has it stored. What it becomes in memory is there for as long as this takes, and bounded. */
async function readAndCommit({ readBudget, commit }: SettleContext, held: HeldBody): Promise<Committed> {
  const giveBack = await readBudget.take(heapBytesOf(held.body))
  try {
    const event = tryReading(held)
    return 'unread' in event ? event : { event, verdict: await commit(event) }
  } finally {
    giveBack()
  }
}

function tryReading(held: HeldBody): PersonaEvent | { readonly unread: unknown } {
  try {
    return readEvent(held)
  } catch (error) {
    return { unread: error }
  }
}

async function settleEvent(context: SettleContext, held: HeldBody): Promise<DeliveryOutcome> {
  const attempts = held.attemptsMade + 1
  const committed = await readAndCommit(context, held)
  if ('unread' in committed) {
    const letter = unreadableLetter(committed.unread, attempts)
    if (letter !== null) return bury(context, held, letter)
    return failAttempt(context, held, context.store.failureOf(committed.unread).description)
  }
  const { event, verdict } = committed
  switch (verdict.verdict) {
    case 'stored':
      noteStored(context, held, event, verdict)
      return DONE
    case 'released':
      return RELEASE
    case 'refused':
      return bury(context, held, { reason: 'VALUE_REFUSED', error: verdict.failure.description, attempts })
    case 'deferred':
      return defer(context, held, verdict)
    case 'failed':
      return failAttempt(context, held, verdict.failure.description)
  }
}

/**
 * Settles one held delivery: stored, kept as a dead letter, tried again later, or handed back. Where it goes back after
 * a redaction has reached it, it goes reduced.
 *
 * ```text
 * quarantined ─────────────────────────────────────────► dead letter
 * event ──read──► batch ──► stored (applied, stale, duplicate)
 *            │          ├─► refused by PostgreSQL (22, 23, 54) ─► dead letter at once
 *            │          ├─► failed alone while others passed ─► retry, after MAX_ATTEMPTS a dead letter
 *            │          ├─► failed alone, not known whose failure it is, or a key is missing ─► back, no attempt used up
 *            │          └─► outage, and the worker drains ─► handed back, no attempt used up
 *            └─ unreadable ─► dead letter
 * replay ──────────────────────────────────────────────► processed again, out of the log
 * ```
 */
export async function settleDelivery(context: SettleContext, held: InFlightDelivery): Promise<DeliveryOutcome> {
  if (held.kind === 'replay') return settleReplay(context, held)
  const outcome =
    held.kind === 'event'
      ? await settleEvent(context, held)
      : await bury(context, held, { reason: held.reason, error: 'the body is no usable event', attempts: 0 })
  return await putBack(context.store, held, outcome)
}
