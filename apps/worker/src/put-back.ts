import type { Failure } from '@persona-ingest/database'
import type { Consumer, InFlightDelivery, DeliveryOutcome } from '@persona-ingest/queue'
import { withDeadline } from '@persona-ingest/core'
import type { EventStore } from './event-store.ts'
import type { SettleContext } from './settle.ts'

/** A database that does not answer must not keep what is to go back. */
const ANSWER_WITHIN_MS = 2_000

/**
 * What goes back to the queue goes as the erasures known now leave it: a redaction may have come since it was received,
 * and its next try may be long in coming. Where the database can't be asked, it goes back as it is. Never rejects.
 */
export async function putBack(
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
export function defer(
  { logger, metrics }: Pick<SettleContext, 'logger' | 'metrics'>,
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
