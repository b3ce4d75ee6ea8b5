import type { Environment } from '@persona-ingest/persona'

/** What is known of one delivery, for its log line and its metrics. Ids and codes only. */
export type DeliveryRecord = {
  outcome: 'accepted' | 'quarantined' | 'refused'
  /** A quarantine reason or a code of the error table; null for accepted ones. */
  reason: string | null
  /** Why the queue could not take it: a code of `queueFaults`; null for every other reason. */
  fault: string | null
  environment: Environment | null
  eventId: string | null
  /** When the last byte (or, until then, the headers) was here, as `performance.now()`. */
  completeAtMs: number
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on the delivery route only, from its first hook until it has been reported. */
    delivery: DeliveryRecord | null
  }
}

/** A delivery of which nothing is known yet but that it is here. */
export function newDeliveryRecord(): DeliveryRecord {
  const completeAtMs = performance.now()
  return { outcome: 'refused', reason: null, fault: null, environment: null, eventId: null, completeAtMs }
}
