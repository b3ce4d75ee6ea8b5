import type { Run, TextRow } from '../connections/run.ts'
import type { Change, ChangeCause, ObjectFamily } from './change.ts'

/** A batch holds about so many changes at most. */
export const PAGE_CHANGES = 5_000

/** Ticks that are looked at for the end of a batch. */
const TICKS_AHEAD = 1_000

/** The place of a reader: behind a tick, and behind a part of a later one. */
export type Place = {
  readonly tick: bigint
  readonly part: { readonly upTo: bigint; readonly seq: bigint } | null
}

export type ChangePage = {
  /** The tick up to which the page goes; that of the place where nothing is newer. */
  readonly upTo: bigint
  readonly changes: readonly Change[]
  /** Whether more changes up to this tick follow. */
  readonly isPart: boolean
}

/**
 * The end of a page is the last tick whose changes fit into it, by an estimate, or else the next tick, whose changes are read
 * in parts. Without a newer tick it is the cursor itself, so that `changes_page` reports an expired one. The time of a change
 * is read as a number, since its text depends on the session's settings.
 */
const pageSql = `
WITH place AS (
  SELECT COALESCE((SELECT t.last_seq FROM public.change_ticks t WHERE t.tick = $1::bigint), 0) AS last_seq
), ahead AS (
  SELECT t.tick, t.last_seq FROM public.change_ticks t WHERE t.tick > $1::bigint ORDER BY t.tick LIMIT ${TICKS_AHEAD}
), up_to AS (
  SELECT COALESCE(
    $2::bigint,
    (SELECT max(a.tick) FROM ahead a, place p WHERE a.last_seq <= p.last_seq + ${PAGE_CHANGES}),
    (SELECT min(a.tick) FROM ahead a),
    $1::bigint
  ) AS tick
)
SELECT u.tick AS up_to, c.seq, c.family, c.object_id, c.inquiry_id, c.version, c.cause, c.event_id, c.status,
  c.previous_status, round(extract(epoch FROM c.changed_at) * 1000)::bigint AS changed_at_ms
FROM up_to u LEFT JOIN LATERAL public.changes_page($1::bigint, u.tick, $3::bigint, ${PAGE_CHANGES + 1}) c ON true
ORDER BY c.seq`

function toChange(row: TextRow): Change {
  return {
    seq: BigInt(row['seq'] ?? 0),
    family: row['family'] as ObjectFamily,
    objectId: row['object_id'] as string,
    inquiryId: row['inquiry_id'] ?? null,
    version: BigInt(row['version'] ?? 0),
    cause: row['cause'] as ChangeCause,
    eventId: row['event_id'] ?? null,
    status: row['status'] ?? null,
    previousStatus: row['previous_status'] ?? null,
    changedAt: new Date(Number(row['changed_at_ms'])),
  }
}

/** Reads the next changes behind a place. */
export async function readPage(run: Run, { tick, part }: Place): Promise<ChangePage> {
  const rows = await run(pageSql, [String(tick), part === null ? null : String(part.upTo), String(part?.seq ?? 0)])
  const changes = rows.filter((row) => row['seq'] !== null).map(toChange)
  // One more than a page shows that it is a part.
  const isPart = changes.length > PAGE_CHANGES
  if (isPart) changes.pop()
  return { upTo: BigInt(rows[0]?.['up_to'] ?? tick), changes, isPart }
}
