import { startPostgres, type PostgresOptions, type PostgresServer } from './postgres-server.ts'
import type { TestScope } from './test-scope.ts'

export type ThrowAwayDatabaseOptions = Omit<PostgresOptions, 'dir'> & {
  /** Whether the tables of the project are there. Default: true. */
  readonly migrate?: boolean
}

/** A database of a test's own. */
export type ThrowAwayDatabase = {
  readonly url: string
  /** The server that holds this database and nothing else. */
  readonly server: PostgresServer
  /** Runs one statement over a connection of its own and gives the rows; throws what PostgreSQL says. */
  readonly sql: (text: string, params?: readonly unknown[]) => Promise<Record<string, unknown>[]>
}

/** Starts a migrated PostgreSQL for one test or test file (`t` of tap); it ends, and its data goes, with that test. */
export async function throwAwayDatabase(
  t: TestScope,
  options: ThrowAwayDatabaseOptions = {},
): Promise<ThrowAwayDatabase> {
  const { migrate = true, ...serverOptions } = options
  const server = await startPostgres(serverOptions)
  t.teardown(() => server.stop())
  if (migrate) {
    // Only here, so that a test without tables does not load the migration engine.
    const database = await import('@persona-ingest/database')
    await database.migrate({ databaseUrl: server.url() })
  }
  return { url: server.url(), server, sql: (text, params) => server.sql(text, params) }
}
