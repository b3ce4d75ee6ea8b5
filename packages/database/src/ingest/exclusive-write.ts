import type { PrismaClient } from '../generated/client.ts'
import { keysOf } from '../sealing/sealed-document.ts'
import { sqlExecutor, type SqlExecutor } from './sql-executor.ts'

/** Far above any statement's own timeout: Prisma's, should it strike during COMMIT, can end the process. */
const TIMEOUT_MS = 600_000

/**
 * Runs work in one transaction while no other writer of events is at work; those that have read before read again.
 *
 * @see docs/adr/0002-shared-and-exclusive-writes.md
 */
export async function inExclusiveWrite<T>(
  prisma: PrismaClient,
  work: (executor: SqlExecutor) => Promise<T>,
): Promise<T> {
  return prisma.$transaction(
    async (transaction) => {
      const executor = sqlExecutor(transaction, keysOf(prisma))
      await executor.query('SELECT begin_exclusive_write()::text', [])
      return work(executor)
    },
    { timeout: TIMEOUT_MS, maxWait: 10_000 },
  )
}
