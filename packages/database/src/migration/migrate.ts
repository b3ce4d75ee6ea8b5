import { Client } from 'pg'
import { readMigrations } from './migrations-folder.ts'
import { withSchemaEngine } from './schema-engine.ts'

/** Ours alone; the schema engine takes a lock of its own, but gives up on it after 10 s. */
const MIGRATE_LOCK = 723_114_600

/** The one of `prisma migrate`, so that a migration of its that is under way is not taken for a dead one. */
const PRISMA_LOCK = 72_707_369

async function withMigrateLock<T>(databaseUrl: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000, keepAlive: true })
  // A connection that is lost here ends the lock, and the work below fails by itself.
  client.on('error', () => undefined)
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATE_LOCK])
    return await work(client)
  } finally {
    await client.end()
  }
}

/**
 * A migration is one transaction: one that was begun and not finished (an outage, a killed process, an error) has left
 * nothing behind but its record, over which the engine would refuse every further attempt.
 */
async function forgetUnfinished(client: Client): Promise<void> {
  const { rows } = await client.query(`SELECT to_regclass('public._prisma_migrations') IS NOT NULL AS is_there`)
  if (rows[0]?.is_there !== true) return
  await client.query('SELECT pg_advisory_lock($1)', [PRISMA_LOCK])
  await client.query(
    'UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL',
  )
  await client.query('SELECT pg_advisory_unlock($1)', [PRISMA_LOCK])
}

/**
 * Applies the migrations that a database lacks and returns their names, an empty list where it is up to date.
 *
 * Keeps the standard `_prisma_migrations`, so `prisma migrate deploy` can be used in its place at any time. Several
 * at once wait for each other. Rejects where the database is away, and where a migration failed; it is then as if that
 * migration had not begun, and may be tried again.
 */
export async function migrate(options: { databaseUrl: string }): Promise<{ applied: readonly string[] }> {
  const migrationsList = await readMigrations()
  return withMigrateLock(options.databaseUrl, async (client) => {
    await forgetUnfinished(client)
    const filters = { externalTables: [], externalEnums: [] }
    const { appliedMigrationNames } = await withSchemaEngine(options, (engine) =>
      engine.applyMigrations({ migrationsList, filters }),
    )
    return { applied: appliedMigrationNames }
  })
}
