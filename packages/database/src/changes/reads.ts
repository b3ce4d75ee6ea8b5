import { CodedError } from '@persona-ingest/core'
import type { Database } from '../database.ts'
import { sqlStateOf } from '../sql/failure.ts'

/** A row of `changes`, with the names of its columns. */
export type ChangeRow = {
  readonly seq: bigint
  readonly family: 'inquiry' | 'verification' | 'resource'
  readonly object_id: string
  readonly inquiry_id: string | null
  readonly version: bigint
  readonly cause: string
  readonly event_id: string | null
  /** Null for an object that was removed. */
  readonly status: string | null
  readonly previous_status: string | null
  readonly changed_at: Date
}

/** Ticks that a reader may stand at; both are 0 before the first tick. */
export type TickRange = { readonly oldest: bigint; readonly latest: bigint }

/** A tick is older than what is kept, or above the latest one. */
export class CursorExpiredError extends CodedError<'PERSONA_CURSOR_EXPIRED'> {
  override readonly name = 'CursorExpiredError'

  constructor(tick: bigint, { oldest, latest }: TickRange, options?: { cause?: unknown }) {
    const fault =
      tick > latest ? `is above the latest one, ${latest}` : `is older than what is kept, from ${oldest} to ${latest}`
    super('PERSONA_CURSOR_EXPIRED', `tick ${tick} ${fault}`, options)
  }
}

/** No consumer of this name has stored a cursor. */
export class ConsumerUnknownError extends CodedError<'CONSUMER_UNKNOWN'> {
  override readonly name = 'ConsumerUnknownError'

  constructor() {
    super('CONSUMER_UNKNOWN', 'no consumer of this name has stored a cursor: `ops changes consumers` lists them')
  }
}

const rangeSql = 'SELECT f.oldest_tick AS oldest, latest_change_tick() AS latest FROM change_feed f WHERE f.id = 1'

/** Reads the ticks that a reader may stand at. */
export async function readTickRange(database: Database): Promise<TickRange> {
  const [range] = await database.prisma.$queryRawUnsafe<readonly TickRange[]>(rangeSql)
  return range ?? { oldest: 0n, latest: 0n }
}

/**
 * Gives the tick to read from: the given one, that of a consumer, else the latest. It moves no cursor and makes no
 * consumer. Rejects with a `CursorExpiredError`, a `ConsumerUnknownError`, or the database's error.
 */
export async function findStartTick(
  database: Database,
  { tick, consumer }: { readonly tick?: bigint | undefined; readonly consumer?: string | undefined },
): Promise<bigint> {
  const range = await readTickRange(database)
  let start = tick ?? range.latest
  if (consumer !== undefined) {
    const sql = 'SELECT c.tick FROM change_consumers c WHERE c.name = $1'
    const [found] = await database.prisma.$queryRawUnsafe<readonly { tick: bigint }[]>(sql, consumer)
    if (found === undefined) throw new ConsumerUnknownError()
    start = found.tick
  }
  if (start < range.oldest || start > range.latest) throw new CursorExpiredError(start, range)
  return start
}

const pageSql = `
SELECT seq, family, object_id, inquiry_id, version, cause, event_id, status, previous_status, changed_at
FROM changes_page($1::text::bigint, $2::text::bigint, $3::text::bigint, $4::int) ORDER BY seq`

/**
 * Reads a part of the changes after one tick and up to another, in the order of `seq`: at most `limit` of them, behind
 * `afterSeq`. Rejects with a `CursorExpiredError` where the first tick has expired meanwhile.
 */
export async function readChanges(
  database: Database,
  part: { readonly afterTick: bigint; readonly upToTick: bigint; readonly afterSeq: bigint; readonly limit: number },
): Promise<readonly ChangeRow[]> {
  const { afterTick, upToTick, afterSeq, limit } = part
  const parameters = [afterTick, upToTick, afterSeq].map(String)
  try {
    return await database.prisma.$queryRawUnsafe<readonly ChangeRow[]>(pageSql, ...parameters, limit)
  } catch (error) {
    if (sqlStateOf(error) !== 'PX001') throw error
    throw new CursorExpiredError(afterTick, await readTickRange(database), { cause: error })
  }
}

const oldSql = `
SELECT greatest(0, COALESCE((
  SELECT t.last_seq FROM change_ticks t
  WHERE t.at < clock_timestamp() - $1::float8 * interval '1 day' ORDER BY t.at DESC LIMIT 1
), 0) - COALESCE((SELECT o.last_seq FROM change_ticks o WHERE o.tick = f.oldest_tick), 0))::float8 AS count
FROM change_feed f WHERE f.id = 1`

/** Estimates how many changes {@link dropOldChanges} would make unreadable; numbers that were drawn in vain count too. */
export async function countOldChanges(database: Database, keepDays: number): Promise<number> {
  const [row] = await database.prisma.$queryRawUnsafe<readonly { count: number }[]>(oldSql, keepDays)
  return row?.count ?? 0
}
