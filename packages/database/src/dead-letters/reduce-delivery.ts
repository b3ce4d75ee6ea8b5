import type { PrismaClient } from '../generated/client.ts'
import { sqlExecutor } from '../ingest/sql-executor.ts'
import { storedErasureLookup } from '../ingest/stored-erasures.ts'
import { objectIdsOf, reduceLetterBody, type LetterBytes } from './dead-letter.ts'

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
