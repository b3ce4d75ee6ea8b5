import { type Clock, type RedactionLookup, type ObjectFamily, type PersonaEvent } from '@persona-ingest/persona'
import { raiseClock } from '../log/stored-erasures.ts'
import type { SqlExecutor } from '../sql/executor.ts'
import { isoTime, type Row } from '../sql/row-values.ts'

export type StoredObject = { readonly family: ObjectFamily; readonly erasedAt: Clock | null }

/** Stored redactions and erasures, read before a write is planned. */
export type ErasureState = {
  readonly objects: ReadonlyMap<string, StoredObject>
  /** The newest redaction of each inquiry. */
  readonly redactions: ReadonlyMap<string, Clock>
}

export type StoredClaim = { readonly objectId: string; readonly inquiryId: string }

/** Reads all stored claims of the given inquiries. */
export async function readStoredClaims(
  executor: SqlExecutor,
  inquiryIds: readonly string[],
): Promise<readonly StoredClaim[]> {
  return executor.query<StoredClaim>(
    'SELECT object_id AS "objectId", inquiry_id AS "inquiryId" FROM claims WHERE inquiry_id = ANY($1::text[])',
    [inquiryIds],
  )
}

/** Gives the redactions of a batch that are newer than the known ones, by inquiry id. */
export function newRedactions(events: readonly PersonaEvent[], known: ErasureState): Map<string, Clock> {
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
 * Gives the newer erasure clock of each object that a redaction reaches: its own redaction, the batch's claims on redacted
 * inquiries, or stored claims on newly redacted ones.
 */
export function raisedErasures(input: {
  readonly events: readonly PersonaEvent[]
  readonly known: ErasureState
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

/** Gives a look-up in the stored erasures and those of the batch. */
export function erasureLookup(known: ErasureState, raised: ReadonlyMap<string, Clock>): RedactionLookup {
  return (objectId) => raised.get(objectId) ?? known.objects.get(objectId)?.erasedAt ?? null
}

function clockRow(prefix: string, clock: Clock | undefined): Row {
  if (clock === undefined) return {}
  return {
    [`${prefix}event_id`]: clock.eventId,
    [`${prefix}created_at`]: isoTime(clock.createdAtMs),
    [`${prefix}rank`]: clock.rank,
  }
}

/** The row of `objects` for {@link upsertObjectsSql}; without `erasedAt` a stored erasure stays as it is. */
export function objectRow(id: string, family: ObjectFamily, erasedAt: Clock | undefined): Row {
  return { id, family, ...clockRow('erased_', erasedAt) }
}

/** The rows of `redactions` for {@link upsertRedactionsSql}. */
export function redactionRows(redactions: ReadonlyMap<string, Clock>): readonly Row[] {
  return [...redactions].map(([id, clock]) => ({ inquiry_id: id, ...clockRow('', clock) }))
}

/** An object keeps the newest redaction that reaches it. */
const erasedIsNewer =
  `(excluded."erased_event_id" IS NOT NULL AND ("objects"."erased_event_id" IS NULL OR ` +
  `(excluded."erased_created_at", excluded."erased_rank", excluded."erased_event_id") > ` +
  `("objects"."erased_created_at", "objects"."erased_rank", "objects"."erased_event_id")))`

/** SQL that writes rows of `objects` out of a parameter that holds them as JSON text, after `gate` has opened. */
export function upsertObjectsSql(parameter: string): string {
  return `INSERT INTO "objects" ("id", "family", "erased_event_id", "erased_created_at", "erased_rank")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter}::jsonb) AS sent(
  "id" text, "family" text, "erased_event_id" text, "erased_created_at" timestamptz, "erased_rank" smallint)
ON CONFLICT ("id") DO UPDATE SET
  "erased_event_id" = excluded."erased_event_id",
  "erased_created_at" = excluded."erased_created_at",
  "erased_rank" = excluded."erased_rank"
WHERE has_other_family("objects"."family", excluded."family") OR ${erasedIsNewer}`
}

/** SQL that writes rows of `redactions` out of a parameter that holds them as JSON text, after `gate` has opened. */
export function upsertRedactionsSql(parameter: string): string {
  return `INSERT INTO "redactions" AS stored ("inquiry_id", "event_id", "created_at", "rank")
SELECT sent.* FROM gate, jsonb_to_recordset(${parameter}::jsonb) AS sent(
  "inquiry_id" text, "event_id" text, "created_at" timestamptz, "rank" smallint)
ON CONFLICT ("inquiry_id") DO UPDATE SET
  "event_id" = excluded."event_id", "created_at" = excluded."created_at", "rank" = excluded."rank"
WHERE (excluded."created_at", excluded."rank", excluded."event_id") > (stored."created_at", stored."rank", stored."event_id")`
}
