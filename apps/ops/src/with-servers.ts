import type { PrismaClient } from '@persona-ingest/database'
import type { Producer } from '@persona-ingest/queue'
import type { OpsDeps } from './ops-deps.ts'
import { withDatabase } from './with-database.ts'

/** Opens the database and the queue for one piece of work and closes both; rejects as {@link withDatabase} does. */
export async function withServers<T>(
  deps: Pick<OpsDeps, 'openDatabase' | 'createProducer' | 'readEnv'>,
  work: (servers: { readonly prisma: PrismaClient; readonly producer: Producer }) => Promise<T>,
): Promise<T> {
  // Every variable is read before a server is opened, so that all faults of the environment are reported at once.
  const { REDIS_URL: redisUrl, QUEUE_ENCRYPTION_KEYS: encryptionKeys } = deps.readEnv([
    'DATABASE_URL',
    'STORAGE_ENCRYPTION_KEYS',
    'REDIS_URL',
    'QUEUE_ENCRYPTION_KEYS',
  ])
  return await withDatabase(deps, async (prisma) => {
    const producer = deps.createProducer({ redisUrl, encryptionKeys })
    try {
      return await work({ prisma, producer })
    } finally {
      await producer.close().catch(() => undefined)
    }
  })
}
