import { readEvent, UnusableEventError, type PersonaEvent } from '@persona-ingest/persona'
import type { Consumer, DeliveryOutcome, InFlightDelivery } from '@persona-ingest/queue'
import { inSpan, type Logger } from '@persona-ingest/service'
import { type EventStore, type StoreVerdict, takesEvents } from './store-batch.ts'
import { type MemoryBudget, heapBytesOf } from './commit.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { Outage } from './outage.ts'
import type { Failure } from '@persona-ingest/database'
import { withDeadline } from '@persona-ingest/core'

/** Lets a drain hand back what can't be settled in the time there is, whatever the database does. */
export class InFlightDeliveries {
  // A race against one long-lived promise would keep a reaction of every delivery for as long as the worker runs.
  readonly #held = new Set<(outcome: DeliveryOutcome) => void>()

  /** Resolves as `settling` does, or to a release once everything is handed back. */
  async track(settling: Promise<DeliveryOutcome>): Promise<DeliveryOutcome> {
    return new Promise((resolve, reject) => {
      this.#held.add(resolve)
      settling.then(resolve, reject).finally(() => this.#held.delete(resolve))
    })
  }

  /** Releases all that is held now. Storing is idempotent: a write still on its way does no harm. */
  requeueAll(): void {
    for (const resolve of this.#held) resolve(RELEASE)
  }
}

type HeldReplay = Extract<InFlightDelivery, { kind: 'replay' }>

/** An attempt that was the event's own fault. It is in the log and stays there: giving up loses nothing. */
function settleFailed(context: ProcessContext, held: HeldReplay, description: string): DeliveryOutcome {
  const { maxAttempts, logger, metrics } = context
  const attempts = held.attemptsMade + 1
  const { eventId } = held
  if (attempts < maxAttempts) {
    logger.warn({ eventId, attempts, description }, 'replay failed, retrying')
    metrics.retries.inc()
    return { action: 'retry', reason: description }
  }
  metrics.replays.inc({ outcome: 'failed' })
  logger.error({ eventId, attempts, description }, 'replay failed, given up; the event is in the log')
  return DONE
}

/**
 * Settles a replay: the event is read from the log, as it stands there now, and processed again. An outage costs time
 * only, and so does a key that is missing; an event that fails alone while others pass uses up its attempts.
 */
async function processReplay(context: ProcessContext, held: HeldReplay): Promise<DeliveryOutcome> {
  const { store, outage, memory: readBudget, logger, metrics } = context
  const { eventId } = held
  const takeMemory = async (body: Uint8Array) => await readBudget.take(heapBytesOf(body))
  const storedBefore = outage.loneFailures.stored
  for (;;) {
    try {
      const outcome = await store.replayEvent(eventId, { takeMemory })
      outage.end()
      metrics.replays.inc({ outcome })
      logger.info({ eventId, outcome }, 'event replayed')
      return DONE
    } catch (error) {
      const failure = store.failureOf(error)
      if (failure.kind === 'event') return settleFailed(context, held, failure.description)
      if (failure.kind === 'key' || (await takesEvents(store))) {
        const blame = outage.loneFailures.judge(eventId, failure, storedBefore)
        if (blame.blame === 'own') return settleFailed(context, held, failure.description)
        return defer(context, held, { failure, delayMs: blame.delayMs })
      }
      if (!(await outage.wait(failure.description))) return RELEASE
    }
  }
}

/** A database that does not answer must not keep what is to go back. */
const ANSWER_WITHIN_MS = 2_000

/**
 * What goes back to the queue goes as the erasures known now leave it: a redaction may have come since it was received,
 * and its next try may be long in coming. Where the database can't be asked, it goes back as it is. Never rejects.
 */
export async function reduceRequeued(
  store: Pick<EventStore, 'reduceDelivery'>,
  held: InFlightDelivery,
  outcome: DeliveryOutcome,
): Promise<DeliveryOutcome> {
  if (outcome.action === 'ack' || held.kind === 'replay') return outcome
  const answer = store.reduceDelivery(held).catch(() => null)
  const body = await withDeadline(
    ANSWER_WITHIN_MS,
    () => answer,
    () => null,
  )
  return body === null ? outcome : { ...outcome, body }
}

/** Puts a delivery back without using up an attempt, and names what it waits for. */
function defer(
  { logger, metrics }: Pick<ProcessContext, 'logger' | 'metrics'>,
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
 * Makes the work that reduces deliveries which rest in the queue, after a redaction or erasure that came while they rest;
 * in a queue that is paused, those that wait too.
 *
 * They are looked through twice: a delivery that asked just before an erasure was stored may begin to rest just after. A
 * job that waits in a queue that is not paused is taken in its turn, so that a backlog is not read for each redaction.
 */
export function reduceResting(
  consumer: Pick<Consumer, 'reduceQueued' | 'restraint'>,
  store: Pick<EventStore, 'erasureEpoch' | 'reduceDelivery'>,
): () => Promise<void> {
  let known: string | null = null
  let passesLeft = 0
  return async () => {
    // What waits when the queue is paused was not looked through when the last erasure came.
    const now = `${await store.erasureEpoch()} ${(await consumer.restraint()) === 'paused'}`
    if (now !== known) passesLeft = 2
    known = now
    if (passesLeft === 0) return
    await consumer.reduceQueued((delivery) => store.reduceDelivery(delivery))
    passesLeft -= 1
  }
}

export type ProcessContext = {
  readonly store: EventStore
  readonly outage: Outage
  /** What the events that are read and not stored yet may take of the heap. */
  readonly memory: MemoryBudget
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

async function bury(context: ProcessContext, held: HeldBody, letter: Letter): Promise<DeliveryOutcome> {
  const giveBack = await context.memory.take(heapBytesOf(held.body))
  try {
    return await keepLetter(context, held, letter)
  } finally {
    giveBack()
  }
}

async function keepLetter(context: ProcessContext, held: HeldBody, letter: Letter): Promise<DeliveryOutcome> {
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
  { logger, metrics }: ProcessContext,
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
async function failAttempt(context: ProcessContext, held: HeldBody, description: string): Promise<DeliveryOutcome> {
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
async function readAndCommit({ memory: readBudget, commit }: ProcessContext, held: HeldBody): Promise<Committed> {
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

async function settleEvent(context: ProcessContext, held: HeldBody): Promise<DeliveryOutcome> {
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
export async function processDelivery(context: ProcessContext, held: InFlightDelivery): Promise<DeliveryOutcome> {
  if (held.kind === 'replay') return processReplay(context, held)
  const outcome =
    held.kind === 'event'
      ? await settleEvent(context, held)
      : await bury(context, held, { reason: held.reason, error: 'the body is no usable event', attempts: 0 })
  return await reduceRequeued(context.store, held, outcome)
}

/** Settles a held delivery in a span that goes on the trace of the request that brought it. */
export async function settleTraced(context: ProcessContext, held: InFlightDelivery): Promise<DeliveryOutcome> {
  const traceParent = held.kind === 'replay' ? undefined : held.traceParent
  const { kind, eventId, attemptsMade } = held
  const attributes = { kind, attemptsMade, ...(eventId === null ? {} : { eventId }) }
  return inSpan('settle delivery', { traceParent, isConsumer: true, attributes }, async (note) => {
    const outcome = await processDelivery(context, held)
    note({ outcome: outcome.action })
    return outcome
  })
}
