import { KeyRing } from '@persona-ingest/core'
import { PrismaPg } from '@prisma/adapter-pg'
import { Pool } from 'pg'
import { PrismaClient } from './generated/client.ts'
import { statementName, useAdapter } from './sql/executor.ts'

import { useKeys } from './sql/encrypted-values.ts'
import { SessionClient, sessionOptions, type SessionSettings } from './sql/session.ts'

export type DatabaseOptions = {
  /** `postgresql://...`; pg's parameters such as `sslmode` apply. */
  readonly url: string
  /** `<id>:<base64 of 32 bytes>`: personal documents are encrypted with the first, decrypted with all; empty: none. */
  readonly encryptionKeys: readonly string[]
  /** Connections at most; a worker needs one per batch in flight and one to spare. Default 5. */
  readonly connections?: number
  /** For tests: settings of PostgreSQL on top of those that every session of ours has. */
  readonly sessionSettings?: SessionSettings | undefined
  /** Told of connections that break while idle; the next query opens another. */
  readonly onConnectionError?: (error: Error) => void
}

/** PostgreSQL ends a statement itself first; the client's own timeout catches a server that does not answer at all. */
const ANSWER_TIMEOUT_MS = 25_000

/** The Prisma client over a pool of our own, with every wait bounded. It connects with the first query. */
export interface Database {
  readonly prisma: PrismaClient
  /** Safe to repeat. */
  close(): Promise<void>
}

/** Opens the database; never rejects or throws because PostgreSQL is away. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new Pool({
    ...sessionOptions(options.url, options.sessionSettings),
    Client: SessionClient,
    max: options.connections ?? 5,
    query_timeout: ANSWER_TIMEOUT_MS,
  })
  const onConnectionError = options.onConnectionError ?? (() => undefined)
  pool.on('error', onConnectionError)
  const factory = new PrismaPg(pool, {
    onPoolError: onConnectionError,
    onConnectionError,
    statementNameGenerator: statementName,
  })
  const prisma = new PrismaClient({ adapter: factory })
  const adapter = factory.connect()
  // A pool that is ours already: nothing is awaited but the object itself.
  useAdapter(prisma, async () => adapter)
  useKeys(prisma, new KeyRing(options.encryptionKeys))
  const close = async (): Promise<void> => {
    await prisma.$disconnect()
    await pool.end()
  }
  let closed: Promise<void> | undefined
  return { prisma, close: () => (closed ??= close()) }
}
