import type { ErasureState } from '../redaction/plan-redaction.ts'
import { keepPrepared, type SqlExecutor } from '../sql/executor.ts'
import type { ClaimStrength, Clock, ClockedClaim, ObjectFamily } from '@persona-ingest/persona'
import { projectionTables, type ProjectionTable } from '../tables.ts'

/** The clocks of a stored row. A new state changes the row only with a greater clock. */
export type StoredClocks = {
  readonly snapshot: Clock | null
  readonly status: Clock | null
  readonly reference: Clock | null
  readonly claim: ClockedClaim | null
}

/** The stored state of a batch's events and objects, read before its write is planned. */
export type StoredState = ErasureState & {
  /** Counts the exclusive writes; a shared write is valid only while it has not moved. */
  readonly epoch: string
  readonly eventIds: ReadonlySet<string>
  readonly clocks: ReadonlyMap<string, StoredClocks>
}

const milliseconds = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::bigint`

function clockJson(prefix: string, eventId = `${prefix}_event_id`): string {
  return `${milliseconds(`${prefix}_created_at`)}, ${prefix}_rank, ${eventId}`
}

function clocksSql(table: ProjectionTable): string {
  const claim = `${clockJson('claim')}, claim_strength, ${table.claimColumn}`
  return (
    `(SELECT json_agg(json_build_array(id, ${clockJson('event', 'event_id')}, ${clockJson('status')}, ` +
    `${clockJson('reference')}, ${claim})) FROM ${table.name} WHERE id = ANY($2::text[])) AS ${table.name}`
  )
}

const storedStateSql = keepPrepared(`
SELECT
  (SELECT epoch::text FROM ingest_state WHERE id = 1) AS epoch,
  (SELECT json_agg(id) FROM events WHERE id = ANY($1::text[])) AS events,
  (SELECT json_agg(json_build_array(id, family, ${clockJson('erased')})) FROM objects WHERE id = ANY($2::text[])) AS objects,
  ${clocksSql(projectionTables.inquiry)},
  ${clocksSql(projectionTables.verification)},
  ${clocksSql(projectionTables.resource)},
  (SELECT json_agg(json_build_array(inquiry_id, ${milliseconds('created_at')}, rank, event_id))
   FROM redactions WHERE inquiry_id = ANY($3::text[])) AS redactions`)

type ClockValues = readonly [number | null, number | null, string | null]
type ClaimValues = readonly [...clock: ClockValues, strength: ClaimStrength | null, inquiryId: string | null]
type Clocks = readonly [
  id: string,
  ...event: ClockValues,
  ...status: ClockValues,
  ...reference: ClockValues,
  ...claim: ClaimValues,
]
type KnownRow = {
  readonly epoch: string
  readonly events: readonly string[] | null
  readonly objects: readonly (readonly [id: string, family: ObjectFamily, ...erased: ClockValues])[] | null
  readonly inquiries: readonly Clocks[] | null
  readonly verifications: readonly Clocks[] | null
  readonly resources: readonly Clocks[] | null
  readonly redactions: readonly (readonly [inquiryId: string, ...clock: ClockValues])[] | null
}

function toClock(createdAtMs: number | null, rank: number | null, eventId: string | null): Clock | null {
  return createdAtMs === null || rank === null || eventId === null ? null : { createdAtMs, rank, eventId }
}

function toClaim(objectId: string, values: ClaimValues): ClockedClaim | null {
  const [createdAtMs, rank, eventId, strength, inquiryId] = values
  const clock = toClock(createdAtMs, rank, eventId)
  return clock === null || strength === null || inquiryId === null ? null : { objectId, inquiryId, strength, clock }
}

function toStoredClocks(row: Clocks): [string, StoredClocks] {
  const [id, t1, r1, e1, t2, r2, e2, t3, r3, e3, ...claim] = row
  return [
    id,
    {
      snapshot: toClock(t1, r1, e1),
      status: toClock(t2, r2, e2),
      reference: toClock(t3, r3, e3),
      claim: toClaim(id, claim),
    },
  ]
}

/** Reads the stored state of a batch in one statement. */
export async function readStoredState(
  executor: SqlExecutor,
  ids: {
    readonly eventIds: readonly string[]
    readonly objectIds: readonly string[]
    readonly inquiryIds: readonly string[]
  },
): Promise<StoredState> {
  const [row] = await executor.query<KnownRow>(storedStateSql, [ids.eventIds, ids.objectIds, ids.inquiryIds])
  if (row === undefined || row.epoch === null) throw new Error('Expected a migrated database: ingest_state is empty')
  const redactions = (row.redactions ?? []).map(([id, ...clock]) => [id, toClock(...clock) as Clock] as const)
  return {
    epoch: row.epoch,
    eventIds: new Set(row.events),
    objects: new Map(row.objects?.map(([id, family, ...erased]) => [id, { family, erasedAt: toClock(...erased) }])),
    clocks: new Map(
      [...(row.inquiries ?? []), ...(row.verifications ?? []), ...(row.resources ?? [])].map((clocks) =>
        toStoredClocks(clocks),
      ),
    ),
    redactions: new Map(redactions),
  }
}
