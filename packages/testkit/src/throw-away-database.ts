import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chown, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Client } from 'pg'
import { temporaryFolder } from './cache-folder.ts'
import { eventually } from './eventually.ts'
import { freePort } from './free-port.ts'
import { runCommand, serverAccount } from './operating-system.ts'
import { databaseName } from './postgres-data.ts'
import { startPostgres, type PostgresOptions, type PostgresServer } from './postgres-server.ts'
import { killWithOwner } from './process-owner.ts'
import type { TestScope } from './test-scope.ts'

export type ThrowAwayDatabaseOptions = Omit<PostgresOptions, 'dir'> & {
  /** Whether the tables of the project exist, or the names of the migrations that are applied. Default: true. */
  readonly migrate?: boolean | readonly string[]
}

/** A database for one test. */
export type ThrowAwayDatabase = {
  readonly url: string
  /** The server of this database alone. */
  readonly server: PostgresServer
  /** Runs one statement over a separate connection and returns the rows; throws PostgreSQL's error. */
  readonly sql: (text: string, params?: readonly unknown[]) => Promise<Record<string, unknown>[]>
}

const migrationsFolder = new URL('../../../prisma/migrations/', import.meta.url)

const createMigrationsTable = `CREATE TABLE _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`

async function allMigrations(): Promise<readonly string[]> {
  const entries = await readdir(migrationsFolder, { withFileTypes: true })
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .toSorted()
}

/**
 * Applies migrations, and records them, as `prisma migrate deploy` does. Tests of packages/database need this
 * package, so that this package cannot use the migrations of packages/database.
 */
async function applyMigrations(server: PostgresServer, names: readonly string[]): Promise<void> {
  // One connection for all: a login takes as long as a migration.
  const client = new Client({ connectionString: server.url() })
  try {
    await client.connect()
    await client.query(createMigrationsTable)
    for (const name of names) {
      const script = await readFile(new URL(`${name}/migration.sql`, migrationsFolder), 'utf8')
      const checksum = createHash('sha256').update(script).digest('hex')
      await client.query(script)
      await client.query(
        `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), 1)`,
        [randomUUID(), checksum, name],
      )
    }
  } finally {
    await client.end()
  }
}

/** Starts a migrated PostgreSQL for one test or test file (`t` of tap). It and its data are removed after that test. */
export async function throwAwayDatabase(
  t: TestScope,
  options: ThrowAwayDatabaseOptions = {},
): Promise<ThrowAwayDatabase> {
  const { migrate = true, ...serverOptions } = options
  const server = await startPostgres(serverOptions)
  t.teardown(() => server.stop())
  if (migrate !== false) await applyMigrations(server, migrate === true ? await allMigrations() : migrate)
  return { url: server.url(), server, sql: (text, params) => server.sql(text, params) }
}

/**
 * Copies the database of a server that has no connections, on that server and for one test. A copy takes 0.1 s of
 * processor time, and a server 0.5 s.
 */
export async function throwAwayCopy(
  t: TestScope,
  { server }: Pick<ThrowAwayDatabase, 'server'>,
): Promise<Omit<ThrowAwayDatabase, 'server'>> {
  const name = `copy_${randomUUID().replaceAll('-', '')}`
  await server.sql(`CREATE DATABASE ${name} TEMPLATE ${databaseName}`, [], 'postgres')
  t.teardown(() => server.sql(`DROP DATABASE ${name} WITH (FORCE)`, [], 'postgres'))
  return { url: server.url(name), sql: (text, params) => server.sql(text, params, name) }
}

const COMMANDS = ['pgbouncer', '/usr/sbin/pgbouncer']

async function findPgBouncer(): Promise<string | null> {
  for (const command of COMMANDS) {
    const runs = await runCommand(command, ['--version']).then(
      () => true,
      () => false,
    )
    if (runs) return command
  }
  return null
}

/** Returns a value for `skip` of a test: false where PgBouncer is installed, else the reason. */
function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

export async function noPgBouncer(): Promise<string | false> {
  return (await findPgBouncer()) === null ? 'not run: pgbouncer is not installed here' : false
}

export type PoolerOptions = {
  readonly mode: 'session' | 'transaction' | 'statement'
  /** Further settings of the section `pgbouncer`. Default: those of PgBouncer. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Starts PgBouncer in front of a server for one test; returns the address of a database behind it. */
export async function throwAwayPooler(
  t: TestScope,
  server: PostgresServer,
  { mode, settings = {} }: PoolerOptions,
): Promise<{ readonly url: (databaseName?: string) => string }> {
  const command = await findPgBouncer()
  if (command === null) throw new Error('pgbouncer is not installed here')
  const [folder, port, account] = await Promise.all([temporaryFolder('pgbouncer'), freePort(), serverAccount()])
  const { username, password } = new URL(server.url())
  const lines = Object.entries({
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: mode,
    ...settings,
  }).map(([name, value]) => `${name} = ${value}`)
  const database = `* = host=127.0.0.1 port=${server.port} user=${username} password=${password}`
  const file = join(folder, 'pgbouncer.ini')
  await writeFile(file, ['[databases]', database, '[pgbouncer]', ...lines, ''].join('\n'))
  if (account !== null) for (const path of [folder, file]) await chown(path, account.uid, account.gid)
  const child = spawn(command, [file], { ...account, cwd: folder, stdio: 'ignore' })
  const cancelKill = killWithOwner([child.pid ?? 0])
  t.teardown(async () => {
    const gone = once(child, 'exit')
    if (child.exitCode === null) {
      child.kill('SIGKILL')
      await gone
    }
    cancelKill()
    await rm(folder, { recursive: true, force: true })
  })
  // A probe that listened on the port for a moment would take it from PgBouncer.
  await eventually(async () => isListening(port), { deadlineMs: 30_000 })
  return { url: (name) => server.url(name).replace(`:${server.port}/`, `:${port}/`) }
}
