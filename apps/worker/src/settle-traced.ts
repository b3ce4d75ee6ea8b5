import type { InFlightDelivery, DeliveryOutcome } from '@persona-ingest/queue'
import { inSpan } from '@persona-ingest/service'
import { settleDelivery, type SettleContext } from './settle.ts'

/** Settles a held delivery in a span that goes on the trace of the request that brought it. */
export async function settleTraced(context: SettleContext, held: InFlightDelivery): Promise<DeliveryOutcome> {
  const traceParent = held.kind === 'replay' ? undefined : held.traceParent
  const { kind, eventId, attemptsMade } = held
  const attributes = { kind, attemptsMade, ...(eventId === null ? {} : { eventId }) }
  return inSpan('settle delivery', { traceParent, isConsumer: true, attributes }, async (note) => {
    const outcome = await settleDelivery(context, held)
    note({ outcome: outcome.action })
    return outcome
  })
}
