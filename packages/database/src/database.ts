import { createHash } from 'node:crypto'
import { KeyRing } from '@persona-ingest/core'
import { PrismaPg } from '@prisma/adapter-pg'
import { Pool } from 'pg'
import { PrismaClient } from './generated/client.ts'
import { sqlOf, statementName, type Sql } from './sql/executor.ts'
import { SessionClient, sessionOptions, type SessionSettings } from './sql/session.ts'

export type DatabaseOptions = {
  /** `postgresql://...`; pg's parameters such as `sslmode` apply. */
  readonly url: string
  /** `<id>:<base64 of 32 bytes>`: personal documents are encrypted with the first, decrypted with all; empty: none. */
  readonly encryptionKeys: readonly string[]
  /** Connections at most; a worker needs one per batch in flight and one to spare. Default 5. */
  readonly connections?: number
  /** For tests: settings of PostgreSQL on top of those of every session. */
  readonly sessionSettings?: SessionSettings | undefined
  /** Gets errors of connections that break while idle; the next query opens another connection. */
  readonly onConnectionError?: (error: Error) => void
}

/** Longer than PostgreSQL's own timeout of a statement, for a server that does not answer at all. */
const ANSWER_TIMEOUT_MS = 25_000

/**
 * An open database, which is passed whole: Prisma's client for reads, `sql` for statements of the project's own over the
 * same connections, and the keys that personal documents are encrypted with. Every wait is bounded.
 */
export interface Database {
  readonly prisma: PrismaClient
  readonly sql: Sql
  readonly keys: KeyRing
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
  const keys = new KeyRing(options.encryptionKeys)
  const sql = sqlOf(factory.connect(), keys)
  const close = async (): Promise<void> => {
    await prisma.$disconnect()
    await pool.end()
  }
  let closed: Promise<void> | undefined
  return { prisma, sql, keys, close: () => (closed ??= close()) }
}

/**
 * Reads an identity of the connected database, 16 hexadecimal digits, which differs between databases of one server and of
 * one backup. A restart and a fail-over change it, so it must be read again each time.
 */
export async function readDatabaseIdentity(database: Database): Promise<string> {
  const sql = `SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || oid
      || '/' || extract(epoch FROM pg_postmaster_start_time()) AS id FROM pg_database WHERE datname = current_database()`
  const [row] = await database.prisma.$queryRawUnsafe<readonly { id: string }[]>(sql)
  return createHash('sha256')
    .update(row?.id ?? '')
    .digest('hex')
    .slice(0, 16)
}
