import type { PrismaClient } from '../generated/client.ts'
import { readKnownWorld } from './known-world.ts'
import { isOutdated } from './outdated.ts'
import { sqlExecutor } from './sql-executor.ts'
import { writeSections, writeSql } from './write-sql.ts'

const MAX_REREADS = 5
const nothing = { eventIds: [], objectIds: [], inquiryIds: [] }

async function writeNothing(prisma: PrismaClient): Promise<void> {
  const { epoch } = await readKnownWorld(sqlExecutor(prisma), nothing)
  await prisma.$transaction([
    prisma.$queryRawUnsafe(writeSql, ...writeSections.map(() => '[]'), epoch),
    prisma.$executeRawUnsafe('UPDATE ingest_state SET canary_at = clock_timestamp() WHERE id = 1'),
  ])
}

/**
 * Writes a batch of nothing, and one row of our own: resolves only where the database takes the very writes that
 * events need. So a failure that an event meets is told apart from one that everything meets.
 */
export async function tryWriting(prisma: PrismaClient): Promise<void> {
  for (let reread = 0; ; reread += 1) {
    try {
      return await writeNothing(prisma)
    } catch (error) {
      if (!isOutdated(error) || reread >= MAX_REREADS) throw error
    }
  }
}
