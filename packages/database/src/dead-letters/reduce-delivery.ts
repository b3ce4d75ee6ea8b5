import { createHash } from 'node:crypto'
import type { PrismaClient } from '../generated/client.ts'
import { sqlExecutor } from '../sql/executor.ts'
import { storedErasureLookup } from '../log/stored-erasures.ts'
import { objectIdsOf, reduceLetterBody, type LetterBytes } from './dead-letter.ts'

/**
 * Tells the database that is connected from every other, also of the same server or restored from the same backup: 16
 * hexadecimal digits. Another follows a restart and a fail-over, so it must be read again each time.
 */
export async function readDatabaseIdentity(prisma: PrismaClient): Promise<string> {
  const sql = `SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || oid
      || '/' || extract(epoch FROM pg_postmaster_start_time()) AS id FROM pg_database WHERE datname = current_database()`
  const [row] = await prisma.$queryRawUnsafe<readonly { id: string }[]>(sql)
  return createHash('sha256')
    .update(row?.id ?? '')
    .digest('hex')
    .slice(0, 16)
}

/** Counts the writes that ran alone, which every redaction and erasure does: where it stands still, none has come. */
export async function readErasureEpoch(prisma: PrismaClient): Promise<string> {
  const [row] = await prisma.$queryRawUnsafe<readonly { epoch: string }[]>(
    'SELECT epoch::text AS epoch FROM ingest_state',
  )
  return row?.epoch ?? ''
}

/**
 * The body of a delivery that is not stored yet, as the erasures known at this moment leave it; null where they leave it
 * as it is. What is to be kept anywhere else meanwhile, such as in the queue, is kept so.
 */
export async function reduceDelivery(prisma: PrismaClient, delivery: LetterBytes): Promise<Uint8Array | null> {
  const erasedAt = await storedErasureLookup(sqlExecutor(prisma), objectIdsOf(delivery), new Map())
  return reduceLetterBody(delivery, erasedAt)
}
