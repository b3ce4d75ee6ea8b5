import { compareClocks, type Clock, type RedactionLookup, type PersonaEvent } from '@persona-ingest/persona'
import type { KnownWorld } from './stored-state.ts'
import type { StoredClaim } from './stored-claims.ts'

/** Keeps the newest clock per key. */
export function raiseClock(clocks: Map<string, Clock>, key: string, clock: Clock): boolean {
  const known = clocks.get(key)
  if (known !== undefined && compareClocks(known, clock) >= 0) return false
  clocks.set(key, clock)
  return true
}

/** The redactions a batch brings that are newer than those known, by inquiry id. */
export function newRedactions(events: readonly PersonaEvent[], known: KnownWorld): Map<string, Clock> {
  const newest = new Map(known.redactions)
  const raised = new Map<string, Clock>()
  for (const event of events) {
    for (const inquiryId of event.redactedInquiryIds) {
      if (raiseClock(newest, inquiryId, event.clock)) raised.set(inquiryId, event.clock)
    }
  }
  return raised
}

/**
 * How far each object of a batch is newly reached by redactions: by its own, by the batch's claims on redacted
 * inquiries, and by stored claims on newly redacted ones.
 */
export function raisedErasures(input: {
  readonly events: readonly PersonaEvent[]
  readonly known: KnownWorld
  readonly redactions: ReadonlyMap<string, Clock>
  readonly storedClaims: readonly StoredClaim[]
}): Map<string, Clock> {
  const { events, known, redactions } = input
  const newest = new Map<string, Clock>()
  for (const [id, object] of known.objects) if (object.erasedAt !== null) newest.set(id, object.erasedAt)
  const raised = new Map<string, Clock>()
  const raise = (objectId: string, clock: Clock | undefined): void => {
    if (clock !== undefined && raiseClock(newest, objectId, clock)) raised.set(objectId, clock)
  }
  for (const [inquiryId, clock] of redactions) raise(inquiryId, clock)
  for (const event of events) for (const objectId of event.redactedIds) raise(objectId, event.clock)
  for (const { objectId, inquiryId } of [...input.storedClaims, ...events.flatMap((event) => event.claims)])
    raise(objectId, redactions.get(inquiryId) ?? known.redactions.get(inquiryId))
  return raised
}

/** Looks erasures up in what is stored and what the batch raises. */
export function erasureLookup(known: KnownWorld, raised: ReadonlyMap<string, Clock>): RedactionLookup {
  return (objectId) => raised.get(objectId) ?? known.objects.get(objectId)?.erasedAt ?? null
}
