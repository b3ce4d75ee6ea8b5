import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CodedError } from '@persona-ingest/core'
import type { MigrationDirectory, MigrationList } from '@prisma/schema-engine-wasm'
import { SessionClient, sessionOptions } from '../sql/session.ts'
import { withSchemaEngine } from './schema-engine.ts'

/** The repository's `prisma` folder, as seen from `src/migration` and from `dist/migration` alike. */
export const prismaFolder = fileURLToPath(new URL('../../../../prisma/', import.meta.url))

async function readMigration(baseDir: string, name: string): Promise<MigrationDirectory> {
  const value = await readFile(join(baseDir, name, 'migration.sql'), 'utf8')
  return { path: name, migrationFile: { path: 'migration.sql', content: { tag: 'ok', value } } }
}

/** Reads all migrations, in the order in which they apply. Rejects where one lacks its SQL. */
export async function readMigrations(baseDir = join(prismaFolder, 'migrations')): Promise<MigrationList> {
  const entries = await readdir(baseDir, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  const lockfile = 'migration_lock.toml'
  return {
    baseDir,
    lockfile: { path: lockfile, content: await readFile(join(baseDir, lockfile), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: await Promise.all(names.toSorted().map((name) => readMigration(baseDir, name))),
  }
}

/** Needed besides the lock of the schema engine, which waits for 10 s only. */
const MIGRATE_LOCK = 723_114_600

/** The lock of `prisma migrate`: a running migration of it must not be taken for an unfinished one. */
const PRISMA_LOCK = 72_707_369

/** The session of a process that is suspended or cut off ends, and so does its lock. */
const IDLE_TIMEOUT = '30s'
const STILL_HERE_EVERY_MS = 10_000

async function withMigrateLock<T>(databaseUrl: string, work: (client: SessionClient) => Promise<T>): Promise<T> {
  // Another process may migrate for hours.
  const settings = { statement_timeout: '0', idle_session_timeout: IDLE_TIMEOUT }
  const client = new SessionClient(sessionOptions(databaseUrl, settings))
  let stillHere: NodeJS.Timeout | undefined
  try {
    await client.connect()
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATE_LOCK])
    // After a lost connection the work below fails by itself.
    stillHere = setInterval(() => void client.query('SELECT 1').catch(() => undefined), STILL_HERE_EVERY_MS)
    return await work(client)
  } finally {
    clearInterval(stillHere)
    await client.end()
  }
}

/** A database that can't hold every event. Code: `DATABASE_UNSUITABLE`. */
class UnsuitableDatabaseError extends CodedError<'DATABASE_UNSUITABLE'> {
  override readonly name = 'UnsuitableDatabaseError'

  constructor(message: string) {
    super('DATABASE_UNSUITABLE', message)
  }
}

const OLDEST_VERSION = 150_000

/** Checked before the first event that the database can't hold becomes a dead letter. */
async function expectSuitable(client: SessionClient): Promise<void> {
  const { rows } = await client.query<{ encoding: string; version: number; name: string }>(
    `SELECT current_setting('server_encoding') AS encoding, current_setting('server_version_num')::int AS version,
     current_setting('server_version') AS name`,
  )
  const { encoding = '', version = 0, name = '' } = rows[0] ?? {}
  if (version < OLDEST_VERSION)
    throw new UnsuitableDatabaseError(`PostgreSQL ${name} is too old, 15 or later is needed`)
  if (encoding !== 'UTF8')
    throw new UnsuitableDatabaseError(
      `the encoding of the database is ${encoding} and must be UTF8: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`,
    )
}

/**
 * A migration is one transaction, so an unfinished one (outage, killed process, error) has left only its record. The engine
 * would refuse every further attempt because of that record.
 */
async function forgetUnfinished(client: SessionClient): Promise<void> {
  const { rows } = await client.query(`SELECT to_regclass('public._prisma_migrations') IS NOT NULL AS is_there`)
  if (rows[0]?.is_there !== true) return
  await client.query('SELECT pg_advisory_lock($1)', [PRISMA_LOCK])
  await client.query(
    'UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL',
  )
  await client.query('SELECT pg_advisory_unlock($1)', [PRISMA_LOCK])
}

/**
 * Applies the migrations that a database lacks and returns their names; an empty list where it is up to date.
 *
 * Keeps the standard `_prisma_migrations`, so that `prisma migrate deploy` can replace it at any time. Several calls wait
 * for each other. Rejects where the database is away (`ConnectionError`), is unsuitable (`DATABASE_UNSUITABLE`), or a
 * migration fails; a failed migration leaves nothing behind and may be tried again.
 */
export async function migrate(options: { databaseUrl: string }): Promise<{ applied: readonly string[] }> {
  const migrationsList = await readMigrations()
  return withMigrateLock(options.databaseUrl, async (client) => {
    await expectSuitable(client)
    await forgetUnfinished(client)
    const filters = { externalTables: [], externalEnums: [] }
    const { appliedMigrationNames } = await withSchemaEngine(options, (engine) =>
      engine.applyMigrations({ migrationsList, filters }),
    )
    return { applied: appliedMigrationNames }
  })
}
