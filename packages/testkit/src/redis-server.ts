import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from './cache-folder.ts'
import { freePort } from './free-port.ts'
import { findRedis } from './redis-program.ts'
import { sendCommand, type Reply } from './resp.ts'
import { ServerProcess } from './server-process.ts'

export type RedisOptions = {
  /** Keeps data here beyond `stop`; a later start goes on with it. Default: a throw-away folder. */
  readonly dir?: string
  /** Default: a free one. */
  readonly port?: number
  /** Further arguments of the server's command line, such as `['--maxmemory', '50mb']`; they win over the defaults. */
  readonly args?: readonly string[]
  /** Further variables of the server's environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** A running Redis of this process's own; it ends when this process ends. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly dir: string
  /** The process number; throws while it is not running. */
  readonly pid: number
  /** Sends one command and gives the answer as RESP 2 tells it; throws when Redis answers with an error. */
  command(...args: readonly (string | number)[]): Promise<Reply>
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Starts it again on the same port and data, after a clean stop if it still runs. */
  restart(): Promise<void>
  /** Stops it cleanly and removes its throw-away folder. */
  stop(): Promise<void>
}

/**
 * Starts a Redis server on the loopback address, as durable as production needs it: `appendonly yes`, `appendfsync
 * always`, `maxmemory-policy noeviction`.
 *
 * Throws an Error that says what to install when there is none, LockHeldError when another process uses `dir`.
 */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const program = await findRedis()
  const dir = options.dir ?? (await temporaryFolder('redis'))
  await mkdir(join(dir, 'data'), { recursive: true })
  const port = options.port ?? (await freePort())
  const server = await ServerProcess.launch({
    name: 'Redis',
    folder: dir,
    isThrowAway: options.dir === undefined,
    command: program.command,
    args: [...serverArguments(port, join(dir, 'data')), ...(options.args ?? [])],
    env: { ...process.env, ...program.env, ...options.env },
    account: null,
    stopSignal: 'SIGTERM',
    isReady: (pid) => answersAs(port, pid),
  })
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    dir,
    get pid() {
      return server.pid
    },
    command: (...args) => sendCommand(port, args),
    kill: () => server.kill(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    restart: () => server.restart(),
    stop: () => server.stop(),
  }
}

function serverArguments(port: number, dataFolder: string): string[] {
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    dir: dataFolder,
    appendonly: 'yes',
    appendfsync: 'always',
    'maxmemory-policy': 'noeviction',
    // The append-only file alone restores everything.
    save: '',
    daemonize: 'no',
  }
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
}

/** Another server may hold the port: only an answer that names our process counts. */
async function answersAs(port: number, pid: number): Promise<boolean> {
  const info = await sendCommand(port, ['INFO']).catch(() => '')
  return typeof info === 'string' && info.includes(`\nprocess_id:${pid}\r`) && info.includes('\nloading:0\r')
}
