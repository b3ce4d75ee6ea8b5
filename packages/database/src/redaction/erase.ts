import { randomUUID } from 'node:crypto'
import { compareClocks, type Clock, type ObjectFamily } from '@persona-ingest/persona'
import type { Database } from '../database.ts'
import { readDeadLetter } from '../dead-letters/dead-letter.ts'
import { emptyDeadLetters, deadLettersOf, redactDeadLetters } from '../dead-letters/redact.ts'
import type { OnUndecryptable, SqlExecutor } from '../sql/executor.ts'
import { encodeRows, isoTime } from '../sql/row-values.ts'
import { inExclusiveWrite } from '../sql/write-transactions.ts'
import type { ErasureTarget, ErasureTargets } from './find-erasure-targets.ts'
import {
  objectRow,
  raisedErasures,
  readStoredClaims,
  redactionRows,
  upsertObjectsSql,
  upsertRedactionsSql,
  type ErasureState,
  type StoredClaim,
} from './plan-redaction.ts'
import { redactStoredCopies, type RedactedCopies } from './redact-stored.ts'

/** Events, rows and dead letters that an erasure reduced. */
export type Erased = RedactedCopies & { readonly deadLetterIds: readonly string[] }

/** Above every rank of an event, so that an erasure reaches all events of its own millisecond. */
export const ERASURE_RANK = 32_767

/** Stored facts about an object to erase. */
type Reach = {
  readonly known: ErasureState
  readonly storedClaims: readonly StoredClaim[]
  readonly objectIds: readonly string[]
}

type StoredClock = { readonly eventId: string; readonly createdAt: Date; readonly rank: number }
type StoredObjectRow = { readonly id: string; readonly family: ObjectFamily } & (
  StoredClock | { readonly eventId: null }
)

const objectsSql = `SELECT id, family, erased_event_id AS "eventId", erased_created_at AS "createdAt", erased_rank AS rank
FROM objects WHERE id = ANY($1::text[])`
const redactionsSql = `SELECT inquiry_id AS id, event_id AS "eventId", created_at AS "createdAt", rank
FROM redactions WHERE inquiry_id = $1`

function toClock({ eventId, createdAt, rank }: StoredClock): Clock {
  return { createdAtMs: createdAt.getTime(), rank, eventId }
}

async function readErasureState(
  executor: SqlExecutor,
  id: string,
  objectIds: readonly string[],
): Promise<ErasureState> {
  const objects = await executor.query<StoredObjectRow>(objectsSql, [objectIds])
  const redactions = await executor.query<StoredClock & { readonly id: string }>(redactionsSql, [id])
  return {
    objects: new Map(
      objects.map((row) => [row.id, { family: row.family, erasedAt: row.eventId === null ? null : toClock(row) }]),
    ),
    redactions: new Map(redactions.map((row) => [row.id, toClock(row)])),
  }
}

async function readReach(executor: SqlExecutor, { id, family }: ErasureTarget): Promise<Reach> {
  const storedClaims = family === 'inquiry' ? await readStoredClaims(executor, [id]) : []
  const objectIds = [...new Set([id, ...storedClaims.map((claim) => claim.objectId)])].toSorted()
  const known = await readErasureState(executor, id, objectIds)
  if (known.objects.has(id)) return { known, storedClaims, objectIds }
  // Only dead letters name the object. A later event must still find the erasure.
  const objects = new Map([...known.objects, [id, { family, erasedAt: null }] as const])
  return { known: { ...known, objects }, storedClaims, objectIds }
}

const newestEventSql = `
SELECT (extract(epoch FROM max(created_at)) * 1000)::bigint::text AS newest FROM events WHERE id IN (
  SELECT id FROM events WHERE resource_id = ANY($1::text[])
  UNION SELECT event_id FROM event_objects WHERE object_id = ANY($1::text[]))`

/**
 * The clock of an erasure: the newest stored time of the object, or now. The current time alone would miss events, which may
 * lie 24 hours in the future. A later time would erase new events.
 */
async function erasureClock(
  executor: SqlExecutor,
  target: ErasureTarget,
  erasure: { readonly id: string; readonly nowMs: number },
): Promise<Clock> {
  const { known, objectIds } = await readReach(executor, target)
  const [row] = await executor.query<{ newest: string | null }>(newestEventSql, [objectIds])
  const earlier = [known.redactions.get(target.id), known.objects.get(target.id)?.erasedAt]
  let newestMs = Math.max(erasure.nowMs, Number(row?.newest ?? 0))
  for (const clock of earlier) newestMs = Math.max(newestMs, clock?.createdAtMs ?? 0)
  for await (const deadLetters of deadLettersOf(executor, objectIds))
    for (const deadLetter of deadLetters)
      newestMs = Math.max(newestMs, readDeadLetter(deadLetter)?.clock.createdAtMs ?? 0)
  return { createdAtMs: newestMs, rank: ERASURE_RANK, eventId: erasure.id }
}

const markErasedSql = `WITH gate AS (SELECT 1), objects_written AS (
${upsertObjectsSql('$1')}
), redactions_written AS (
${upsertRedactionsSql('$2')}
)
SELECT FROM gate`

/**
 * Erases an object as a redaction at the given clock would. It is stored as one, so that it also reduces older events that
 * arrive later. Only within an exclusive write. In any order with events it ends in the same rows.
 */
export async function eraseObject(executor: SqlExecutor, target: ErasureTarget, clock: Clock): Promise<Erased> {
  const { known, storedClaims } = await readReach(executor, target)
  const redactions = new Map(target.family === 'inquiry' ? [[target.id, clock]] : [])
  const erasures = raisedErasures({ events: [], known, redactions, storedClaims })
  const before = known.objects.get(target.id)?.erasedAt ?? null
  if (before === null || compareClocks(clock, before) > 0) erasures.set(target.id, clock)
  // On request all events are read again, not only those since an earlier redaction.
  const copies = await redactStoredCopies(executor, erasures, () => null)
  const deadLetterIds = await redactDeadLetters(executor, erasures)
  const objects = [...erasures].flatMap(([id, erasedAt]) => {
    const object = known.objects.get(id)
    return object === undefined ? [] : [objectRow(id, object.family, erasedAt)]
  })
  const parameters = [encodeRows(objects, executor.keys), encodeRows(redactionRows(redactions), executor.keys)]
  await executor.query(markErasedSql, parameters)
  return { ...copies, deadLetterIds }
}

/** Ids of what an erasure reduced. It holds no personal data. */
export type ErasureReport = {
  /** Of the table `erasures`, one for each target; empty for a dry run. */
  readonly erasureIds: readonly string[]
  readonly eventIds: readonly string[]
  readonly inquiryIds: readonly string[]
  readonly verificationIds: readonly string[]
  readonly resourceIds: readonly string[]
  readonly deadLetterIds: readonly string[]
}

export type EraseOptions = {
  readonly reason?: string | undefined
  /** Rolls every change back; the report is the same. */
  readonly isDryRun: boolean
  /**
   * The time of the erasure in Unix milliseconds, or by the clock of the database. The clock of the command's machine may be
   * behind, and events that are received and not stored yet would then escape.
   */
  readonly nowMs: 'database' | number
  /** Gets rows that can't be decrypted, so that all else is erased. Without it the erasure rejects. */
  readonly onUndecryptable?: OnUndecryptable | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** The id and the time of an erasure. */
type Erasing = { readonly id: string; readonly nowMs: number }
type Work = {
  readonly objectId: string | null
  readonly run: (executor: SqlExecutor, erasing: Erasing) => Promise<Erased>
}

/** Rolls the transaction of a dry run back. */
class DryRun extends Error {
  readonly erased: Erased
  constructor(erased: Erased) {
    super('dry run')
    this.erased = erased
  }
}

function reportOf(erased: readonly Erased[], erasureIds: readonly string[] = []): ErasureReport {
  const distinct = (ids: readonly string[]): readonly string[] => [...new Set(ids)].toSorted()
  const rows = erased.flatMap((each) => each.rows)
  const rowsOf = (table: string) => distinct(rows.filter((row) => row.table === table).map(({ id }) => id))
  return {
    erasureIds,
    eventIds: distinct(erased.flatMap((each) => each.eventIds)),
    inquiryIds: rowsOf('inquiries'),
    verificationIds: rowsOf('verifications'),
    resourceIds: rowsOf('resources'),
    deadLetterIds: distinct(erased.flatMap((each) => each.deadLetterIds)),
  }
}

const recordSql = `
INSERT INTO erasures (id, object_id, reason, erased_at, report) VALUES ($1, $2, $3, $4::timestamptz, $5::jsonb)`

const clockSql = 'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs"'

async function readClock(executor: SqlExecutor, { nowMs }: EraseOptions): Promise<number> {
  if (nowMs !== 'database') return nowMs
  const [row] = await executor.query<{ nowMs: number }>(clockSql, [])
  if (row === undefined) throw new Error('Expected the time of the database')
  return row.nowMs
}

async function eraseOne(database: Database, work: Work, id: string, options: EraseOptions): Promise<Erased> {
  const transaction = inExclusiveWrite(database.sql, 'erasure', async (bare) => {
    const executor = { ...bare, onUndecryptable: options.onUndecryptable }
    const nowMs = await readClock(executor, options)
    const erased = await work.run(executor, { id, nowMs })
    if (options.isDryRun) throw new DryRun(erased)
    const { erasureIds: _, deadLetterIds, ...ids } = reportOf([erased])
    // Stored reports keep the name `letterIds`.
    const report = { ...ids, letterIds: deadLetterIds }
    const parameters = [id, work.objectId, options.reason ?? null, isoTime(nowMs), JSON.stringify(report)]
    await executor.query(recordSql, parameters)
    return erased
  })
  return transaction.catch((error: unknown) => {
    if (error instanceof DryRun) return error.erased
    throw error
  })
}

function workOn(targets: ErasureTargets): readonly Work[] {
  const ofObject = (target: ErasureTarget): Work => ({
    objectId: target.id,
    run: async (executor, erasing) => eraseObject(executor, target, await erasureClock(executor, target, erasing)),
  })
  const deadLetters: Work = {
    objectId: null,
    run: async (executor) => ({
      eventIds: [],
      rows: [],
      deadLetterIds: await emptyDeadLetters(executor, targets.deadLetterIds),
    }),
  }
  return [
    ...targets.inquiryIds.map((id) => ofObject({ id, family: 'inquiry' })),
    ...targets.others.map(ofObject),
    ...(targets.deadLetterIds.length > 0 ? [deadLetters] : []),
    // Last, since they lead to the other targets where an erasure was interrupted.
    ...targets.accountIds.map((id) => ofObject({ id, family: 'resource' })),
  ]
}

/**
 * Erases targets, one transaction each: their rows, every stored payload that contains them, and dead letters. It may be
 * interrupted and repeated at any time. Rejects with the database's error; finished targets stay erased.
 */
export async function eraseTargets(
  database: Database,
  targets: ErasureTargets,
  options: EraseOptions,
): Promise<ErasureReport> {
  const erased: Erased[] = []
  const erasureIds: string[] = []
  const all = workOn(targets)
  for (const work of all) {
    const id = `erase_${randomUUID()}`
    erased.push(await eraseOne(database, work, id, options))
    if (!options.isDryRun) erasureIds.push(id)
    options.onProgress?.(erased.length, all.length)
  }
  return reportOf(erased, erasureIds)
}
