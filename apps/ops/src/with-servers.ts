import type { PrismaClient } from '@persona-ingest/database'
import type { Producer } from '@persona-ingest/queue'
import type { OpsDeps } from './ops-deps.ts'
import { withDatabase } from './with-database.ts'

/** Opens the database and the queue for one piece of work and closes both; rejects as {@link withDatabase} does. */
export async function withServers<T>(
  deps: Pick<OpsDeps, 'openDatabase' | 'createProducer' | 'readEnv'>,
  work: (servers: { readonly prisma: PrismaClient; readonly producer: Producer }) => Promise<T>,
): Promise<T> {
  // Both variables are asked for first, so that every fault of the environment is told at once.
  const { REDIS_URL: redisUrl } = deps.readEnv(['DATABASE_URL', 'REDIS_URL'])
  return await withDatabase(deps, async (prisma) => {
    const producer = deps.createProducer({ redisUrl })
    try {
      return await work({ prisma, producer })
    } finally {
      await producer.close().catch(() => undefined)
    }
  })
}
