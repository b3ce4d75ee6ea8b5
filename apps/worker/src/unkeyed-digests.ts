import { removeUnkeyedDigests, type PrismaClient, type RefreshReport } from '@persona-ingest/database'
import type { Logger } from '@persona-ingest/service'
import type { WorkerEnv } from './env.ts'

const EVERY_MS = 30_000
/** Bodies that do not open are read again with each pass, under a lock that other maintenance needs. */
const NOTHING_OPENS_PAUSE_MS = 3_600_000

export type UnkeyedDigestRemoval = {
  /** How long to wait before the next pass; it depends on what the last one found. */
  readonly pauseMs: () => number
  readonly work: () => Promise<void>
}

/** Nothing was written anew, and letters are left: their key is missing, or they are damaged. */
function isStuck({ refreshed, unopenedIds }: RefreshReport): boolean {
  return refreshed === 0 && unopenedIds.length > 0
}

/** Dead letters of versions before keyed digests hold unkeyed ones, which tell a body to a reader who knows most of it. */
export function unkeyedDigestRemoval(
  prisma: PrismaClient,
  env: Pick<WorkerEnv, 'DATABASE_URL' | 'STORAGE_ENCRYPTION_KEYS'>,
  logger: Logger,
): UnkeyedDigestRemoval {
  const options = { databaseUrl: env.DATABASE_URL, encryptionKeys: env.STORAGE_ENCRYPTION_KEYS }
  let unopenedBefore = 0
  let pauseMs = EVERY_MS
  const work = async (): Promise<void> => {
    pauseMs = EVERY_MS
    const report = await removeUnkeyedDigests(prisma, options)
    if (report === null) return
    const { refreshed: deadLetters, unopenedIds } = report
    if (deadLetters > 0) logger.info({ deadLetters }, 'removed the unkeyed digests of dead letters')
    if (unopenedIds.length > unopenedBefore)
      logger.warn({ deadLetters: unopenedIds.slice(0, 10) }, 'dead letters do not open, their unkeyed digests stay')
    unopenedBefore = unopenedIds.length
    if (isStuck(report)) pauseMs = NOTHING_OPENS_PAUSE_MS
  }
  return { pauseMs: () => pauseMs, work }
}
