import { withDeadline } from '@persona-ingest/core'
import { failureOf, SealedDataError, UnsuitableSessionError, type PrismaClient } from '@persona-ingest/database'
import type { Producer } from '@persona-ingest/queue'
import { CommandFailure } from './command-failure.ts'
import type { OpsDeps } from './ops-deps.ts'

/** A server that has stopped answering must not keep the command from ending. */
const CLOSE_TIMEOUT_MS = 1_000

function databaseFailure(error: unknown): CommandFailure {
  const { description, kind, sqlState } = failureOf(error)
  if (error instanceof SealedDataError)
    return new CommandFailure(`${description}; check STORAGE_ENCRYPTION_KEYS`, { cause: error })
  const isAway = kind === 'outage' && sqlState === null && !(error instanceof UnsuitableSessionError)
  const advice = isAway ? '; check DATABASE_URL and that PostgreSQL runs' : ''
  return new CommandFailure(`database: ${description}${advice}`, { cause: error })
}

/**
 * Opens the database for one command and closes it again.
 * Every wait is bounded; rejects with a `CommandFailure` in words of our own.
 */
export async function withDatabase<T>(
  deps: Pick<OpsDeps, 'openDatabase' | 'readEnv'>,
  read: (prisma: PrismaClient) => Promise<T>,
): Promise<T> {
  const { DATABASE_URL: url, STORAGE_ENCRYPTION_KEYS: encryptionKeys } = deps.readEnv([
    'DATABASE_URL',
    'STORAGE_ENCRYPTION_KEYS',
  ])
  const database = deps.openDatabase({ url, encryptionKeys, connections: 2 })
  try {
    return await read(database.prisma)
  } catch (error) {
    throw error instanceof CommandFailure ? error : databaseFailure(error)
  } finally {
    await withDeadline(
      CLOSE_TIMEOUT_MS,
      () => database.close().catch(() => undefined),
      () => undefined,
    )
  }
}

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
