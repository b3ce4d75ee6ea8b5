import { CodedError, KeyRing } from '@persona-ingest/core'
import { type SqlExecutor, statementName } from './executor.ts'
import { resultsOf } from './pg-quirks.ts'
import { SessionClient, sessionOptions, type SessionSettings } from './session.ts'

/**
 * One rebuild, prune or encryption runs at a time, since they move rows of the log or rely on their places. The lock ends
 * with its connection.
 */
const MAINTENANCE_LOCK = 723_114_602

/**
 * Statements have no time limit, but idle sessions do: a suspended process must hold neither a transaction, for which
 * ingestion may wait, nor the maintenance lock.
 */
const SETTINGS: SessionSettings = { statement_timeout: '0', idle_session_timeout: '5min' }

export type MaintenanceOptions = {
  readonly databaseUrl: string
  /** As `openDatabase` takes them. */
  readonly encryptionKeys: readonly string[]
}

export interface MaintenanceConnection extends SqlExecutor {
  /** Runs statements as one transaction; with `snapshot` all of them see the state at the first statement. */
  transaction<T>(kind: 'snapshot' | 'latest', work: () => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Reports that another rebuild, prune or encryption is under way. Code: `MAINTENANCE_BUSY`. */
export class MaintenanceBusyError extends CodedError<'MAINTENANCE_BUSY'> {
  override readonly name = 'MaintenanceBusyError'

  constructor() {
    super('MAINTENANCE_BUSY', 'another rebuild or prune is under way')
  }
}

/** Bounded, so that a server that does not answer delays no command. */
const UNLOCK = { text: 'SELECT pg_advisory_unlock_all()', query_timeout: 1_000 }

async function takeLock(client: SessionClient): Promise<void> {
  const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS "isMine"', [MAINTENANCE_LOCK])
  if (rows[0]?.isMine !== true) throw new MaintenanceBusyError()
}

async function begin(client: SessionClient, isolation: string): Promise<void> {
  const sql = `BEGIN ISOLATION LEVEL ${isolation}; SELECT pg_backend_pid() AS pid`
  const [, session] = resultsOf(await client.query<{ pid: number }>(sql))
  // Only the session that took the lock holds it.
  client.expectSameSession(session?.rows[0]?.pid ?? 0)
}

/**
 * Opens a connection without a pool and takes the maintenance lock. Rejects with the database's error or a
 * {@link MaintenanceBusyError}.
 */
export async function openMaintenance(
  { databaseUrl, encryptionKeys }: MaintenanceOptions,
  searchPath: string,
): Promise<MaintenanceConnection> {
  const keys = new KeyRing(encryptionKeys)
  const client = new SessionClient({
    ...sessionOptions(databaseUrl, { ...SETTINGS, search_path: searchPath }),
    application_name: 'persona-ingest-maintenance',
  })
  try {
    await client.connect()
    await takeLock(client)
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
      try {
        await begin(client, kind === 'snapshot' ? 'REPEATABLE READ' : 'READ COMMITTED')
        const result = await work()
        await client.query('COMMIT')
        return result
      } catch (error) {
        await client.query('ROLLBACK').catch(() => undefined)
        throw error
      }
    },
    async close() {
      // A session that returns to a pooler keeps its locks for a moment, which would stop the next command.
      await client.query(UNLOCK).catch(() => undefined)
      await client.end().catch(() => undefined)
    },
  }
}
