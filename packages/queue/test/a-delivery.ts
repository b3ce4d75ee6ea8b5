import type { Delivery } from '../src/index.ts'

/** A small, usable event from nobody. */
export function aDelivery(
  eventId: string,
  overrides: { body?: Uint8Array; requestId?: string; receivedAtMs?: number } = {},
): Extract<Delivery, { kind: 'event' }> {
  return {
    kind: 'event',
    eventId,
    environment: 'sandbox',
    receivedAtMs: Date.now(),
    body: Buffer.from(`{"data":{"id":"${eventId}"}}`),
    ...overrides,
  }
}
