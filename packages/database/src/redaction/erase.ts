import { randomUUID } from 'node:crypto'
import { emptyLetters } from '../dead-letters/empty-letters.ts'
import type { PrismaClient } from '../generated/client.ts'
import { inExclusiveWrite } from '../sql/write-transactions.ts'
import { isoTime } from '../store/projection-row.ts'
import type { OnUnopened, SqlExecutor } from '../sql/executor.ts'
import { eraseObject, erasureClock, type Erased, type ErasureTarget } from './erase-object.ts'
import type { ErasureTargets } from './find-erasure-targets.ts'

/** What was taken from where: ids of the provider's and of dead letters, and nothing that was told of a person. */
export type ErasureReport = {
  /** One for each target, in the table `erasures`; empty for a dry run. */
  readonly erasureIds: readonly string[]
  readonly eventIds: readonly string[]
  readonly inquiryIds: readonly string[]
  readonly verificationIds: readonly string[]
  readonly resourceIds: readonly string[]
  readonly letterIds: readonly string[]
}

export type EraseOptions = {
  readonly reason?: string | undefined
  /** Nothing is kept of what is done; the report is the same. */
  readonly isDryRun: boolean
  /**
   * When the erasure is made: by the clock of the database, or in Unix milliseconds. The clock of the machine that the
   * command runs on may be behind: events that are received already, and not stored yet, would then escape.
   */
  readonly nowMs: 'database' | number
  /** Told of what does not open, so that all else is erased. Left out, the erasure rejects. */
  readonly onUnopened?: OnUnopened | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** What is erased in one transaction: as which erasure, and when. */
type Erasing = { readonly id: string; readonly nowMs: number }
type Work = {
  readonly objectId: string | null
  readonly run: (executor: SqlExecutor, erasing: Erasing) => Promise<Erased>
}

/** Ends a transaction of which nothing is to stay. */
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
    letterIds: distinct(erased.flatMap((each) => each.letterIds)),
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

async function eraseOne(prisma: PrismaClient, work: Work, id: string, options: EraseOptions): Promise<Erased> {
  const transaction = inExclusiveWrite(prisma, async (bare) => {
    const executor = { ...bare, onUnopened: options.onUnopened }
    const nowMs = await readClock(executor, options)
    const erased = await work.run(executor, { id, nowMs })
    if (options.isDryRun) throw new DryRun(erased)
    const { erasureIds: _, ...report } = reportOf([erased])
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
  const letters: Work = {
    objectId: null,
    run: async (executor) => ({ eventIds: [], rows: [], letterIds: await emptyLetters(executor, targets.letterIds) }),
  }
  return [
    ...targets.inquiryIds.map((id) => ofObject({ id, family: 'inquiry' })),
    ...targets.others.map(ofObject),
    ...(targets.letterIds.length > 0 ? [letters] : []),
    // Last: should this be broken off, they still lead to what is left.
    ...targets.accountIds.map((id) => ofObject({ id, family: 'resource' })),
  ]
}

/**
 * Erases targets for good, one transaction each: their rows, every stored payload in which they stand, dead letters.
 * It may be broken off and done again at any time. Rejects with the database's error; what is done then stays done.
 */
export async function eraseTargets(
  prisma: PrismaClient,
  targets: ErasureTargets,
  options: EraseOptions,
): Promise<ErasureReport> {
  const erased: Erased[] = []
  const erasureIds: string[] = []
  const all = workOn(targets)
  for (const work of all) {
    const id = `erase_${randomUUID()}`
    erased.push(await eraseOne(prisma, work, id, options))
    if (!options.isDryRun) erasureIds.push(id)
    options.onProgress?.(erased.length, all.length)
  }
  return reportOf(erased, erasureIds)
}
