import { KeyRing } from '@persona-ingest/encryption'
import { PrismaPg } from '@prisma/adapter-pg'
import { Pool } from 'pg'
import { AnsweringClient } from './answering-client.ts'
import { PrismaClient } from './generated/client.ts'
import { useAdapter } from './ingest/sql-executor.ts'
import { statementName } from './prepared-statements.ts'
import { useKeys } from './sealing/sealed-document.ts'

export type DatabaseOptions = {
  /** `postgresql://...`; pg's parameters such as `sslmode` apply. */
  readonly url: string
  /** `<id>:<base64 of 32 bytes>`: personal documents are encrypted with the first, decrypted with all; empty: none. */
  readonly encryptionKeys: readonly string[]
  /** Connections at most; a worker needs one per batch in flight and one to spare. Default 5. */
  readonly connections?: number
  /** Told of connections that break while idle; the next query opens another. */
  readonly onConnectionError?: (error: Error) => void
}

const CONNECT_TIMEOUT_MS = 5_000
/** PostgreSQL ends a statement itself first; the client's own timeout catches a server that does not answer at all. */
const STATEMENT_TIMEOUT_MS = 20_000
const ANSWER_TIMEOUT_MS = 25_000
/** A transaction whose client vanished must not hold its locks for ever. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000

/**
 * Everything that is hot looks rows up by keys it names. On a new database PostgreSQL knows no better than to read whole
 * tables, and goes on so for a minute, until it has gathered statistics: a batch's read took 90 ms where it takes 5.
 */
const PLANNER_OPTIONS = '-c enable_seqscan=off'
/** The epoch is compared by what is committed now, whatever the database's default (ADR 2). */
const ISOLATION_OPTIONS = '-c default_transaction_isolation=read\\ committed'

/** The Prisma client over a pool of our own, with every wait bounded. It connects with the first query. */
export interface Database {
  readonly prisma: PrismaClient
  /** Safe to repeat. */
  close(): Promise<void>
}

/** Opens the database; never rejects or throws because PostgreSQL is away. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new Pool({
    Client: AnsweringClient,
    connectionString: options.url,
    max: options.connections ?? 5,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    options: `${PLANNER_OPTIONS} ${ISOLATION_OPTIONS}`,
    application_name: 'persona-ingest',
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
