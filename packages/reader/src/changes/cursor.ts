import { CodedError } from '@persona-ingest/core'
import type { Run } from '../connections/run.ts'
import type { From, Queryable } from './change.ts'

/**
 * Reports a cursor that is older than the changes that are kept, or above the newest tick: the database was restored, or
 * the consumer was away for too long. Code: `PERSONA_CURSOR_EXPIRED`. Read all rows, and go on from a tick read before.
 *
 * @see docs/contract.md#6-change-feed-what-a-users-application-reads
 */
export class CursorExpiredError extends CodedError<'PERSONA_CURSOR_EXPIRED'> {
  override readonly name = 'CursorExpiredError'

  constructor(options?: { cause?: unknown }) {
    super(
      'PERSONA_CURSOR_EXPIRED',
      'The cursor is outside of the changes that are kept: read all rows, then go on from a tick that was read before them',
      options,
    )
  }
}

/** Gives the error that a caller gets: PostgreSQL's report of an expired cursor has a class of its own. */
export function withExpiry(error: unknown): unknown {
  const isExpiry = (error as { readonly code?: unknown } | null)?.code === 'PX001'
  return isExpiry ? new CursorExpiredError({ cause: error }) : error
}

// Two processes of one name may start a new consumer at once: both go on from what is stored.
const firstStartSql = (tick: string) => `
WITH created AS (
  INSERT INTO public.change_consumers (name, tick) SELECT $1, ${tick} ON CONFLICT (name) DO NOTHING RETURNING tick
)
SELECT tick FROM created UNION ALL SELECT tick FROM public.change_consumers WHERE name = $1`

const FIRST_START = {
  now: firstStartSql('public.latest_change_tick()'),
  start: firstStartSql('(SELECT oldest_tick FROM public.change_feed WHERE id = 1)'),
}

const beginAtSql = `
INSERT INTO public.change_consumers (name, tick)
SELECT $1, $2::bigint FROM public.change_feed
WHERE id = 1 AND $2::bigint BETWEEN oldest_tick AND public.latest_change_tick()
ON CONFLICT (name) DO UPDATE SET tick = excluded.tick, updated_at = clock_timestamp()
RETURNING tick`

/** Gives the tick where a consumer begins, which is stored then. Throws a {@link CursorExpiredError} for one outside. */
export async function startCursor(run: Run, consumer: string, from: From): Promise<bigint> {
  const sql = typeof from === 'bigint' ? beginAtSql : FIRST_START[from]
  for (;;) {
    const [row] = await run(sql, typeof from === 'bigint' ? [consumer, String(from)] : [consumer])
    if (row !== undefined) return BigInt(row['tick'] ?? 0)
    if (typeof from === 'bigint') throw new CursorExpiredError()
    // Another process created the cursor after this statement began; the next statement finds it.
  }
}

// Of two processes of one name, the slower one never moves the cursor back.
const commitSql = `
INSERT INTO public.change_consumers AS c (name, tick) VALUES ($1, $2::bigint)
ON CONFLICT (name) DO UPDATE SET tick = GREATEST(c.tick, excluded.tick), updated_at = clock_timestamp()`

/** Stores the cursor of a consumer; safe to repeat. */
export async function commitCursor(client: Queryable, consumer: string, tick: bigint): Promise<void> {
  await client.query(commitSql, [consumer, String(tick)])
}

const passEmptySql = `
UPDATE public.change_consumers SET tick = $3::bigint, updated_at = clock_timestamp()
WHERE name = $1 AND tick = $2::bigint RETURNING tick`

/** Moves a stored cursor over ticks without changes, unless a batch before them is not committed. Gives whether it moved. */
export async function passEmptyTicks(
  run: Run,
  consumer: string,
  [from, to]: readonly [bigint, bigint],
): Promise<boolean> {
  return (await run(passEmptySql, [consumer, String(from), String(to)])).length > 0
}
