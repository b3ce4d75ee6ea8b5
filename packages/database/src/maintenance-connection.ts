import { KeyRing } from '@persona-ingest/encryption'
import { Client } from 'pg'
import type { SqlExecutor } from './ingest/sql-executor.ts'
import { statementName } from './prepared-statements.ts'

/**
 * Held by whatever moves events about in the log's storage or relies on their staying (rebuild, prune): one of them runs
 * at a time. It goes with the connection, so a killed process leaves none behind.
 */
const MAINTENANCE_LOCK = 723_114_602
const CONNECT_TIMEOUT_MS = 5_000

/** Long work on a connection of its own: no pool, no time limit per statement, a session that keeps its settings. */
export type MaintenanceOptions = {
  readonly databaseUrl: string
  /** As `openDatabase` takes them. */
  readonly encryptionKeys: readonly string[]
}

export interface MaintenanceConnection extends SqlExecutor {
  /** Runs statements as one transaction; `snapshot`: all of them see the database as it was at the first. */
  transaction<T>(kind: 'snapshot' | 'latest', work: () => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Another rebuild or prune is under way. */
export class MaintenanceBusyError extends Error {
  override readonly name = 'MaintenanceBusyError'
  constructor() {
    super('another rebuild or prune is under way')
  }
}

async function openSession(client: Client, searchPath: string): Promise<void> {
  await client.connect()
  // The rows looked up are named by their keys; on tables that fill as we go PostgreSQL has no statistics to see that.
  const settings = ['enable_seqscan = off', 'jit = off', 'statement_timeout = 0', `search_path = ${searchPath}`]
  for (const setting of settings) await client.query(`SET ${setting}`)
  const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS "isMine"', [MAINTENANCE_LOCK])
  if (rows[0]?.isMine !== true) throw new MaintenanceBusyError()
}

/**
 * Opens a connection and takes the maintenance lock. Rejects with the database's error, or a
 * {@link MaintenanceBusyError}; a connection that is lost later rejects whatever is asked next.
 */
export async function openMaintenance(
  { databaseUrl, encryptionKeys }: MaintenanceOptions,
  searchPath: string,
): Promise<MaintenanceConnection> {
  const keys = new KeyRing(encryptionKeys)
  const client = new Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'persona-ingest-maintenance',
  })
  client.on('error', () => undefined)
  try {
    await openSession(client, searchPath)
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
  return {
    keys,
    async query<Row>(sql: string, parameters: readonly unknown[]) {
      const name = statementName({ sql })
      const { rows } = await client.query({ text: sql, values: [...parameters], ...(name === '' ? {} : { name }) })
      return rows as readonly Row[]
    },
    async transaction(kind, work) {
      await client.query(`BEGIN ISOLATION LEVEL ${kind === 'snapshot' ? 'REPEATABLE READ' : 'READ COMMITTED'}`)
      try {
        const result = await work()
        await client.query('COMMIT')
        return result
      } catch (error) {
        await client.query('ROLLBACK').catch(() => undefined)
        throw error
      }
    },
    close: async () => await client.end().catch(() => undefined),
  }
}
