import type { PersonaEvent } from '@persona-ingest/persona'

/** Every id that a batch touches, sorted, so that all writers lock rows in one order. */
export function batchIds(events: readonly PersonaEvent[]): {
  readonly eventIds: readonly string[]
  readonly objectIds: readonly string[]
  readonly inquiryIds: readonly string[]
} {
  const objectIds = new Set<string>()
  const inquiryIds = new Set<string>()
  for (const event of events) {
    for (const object of [event.primary, ...event.included]) {
      objectIds.add(object.id)
      if (object.snapshot.family === 'inquiry') inquiryIds.add(object.id)
    }
    for (const reference of event.references) objectIds.add(reference.id)
    for (const claim of event.claims) inquiryIds.add(claim.inquiryId)
  }
  return {
    eventIds: events.map((event) => event.id).toSorted(),
    objectIds: [...objectIds].toSorted(),
    inquiryIds: [...inquiryIds].toSorted(),
  }
}
