import { mkdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder } from './cache-folder.ts'
import { freePort } from './free-port.ts'
import { findRedis } from './redis-program.ts'
import { ServerProcess } from './server-process.ts'
import type { TestScope } from './test-scope.ts'

export type RedisOptions = {
  /** Folder whose data stays after `stop` for a later start. Default: a throw-away folder. */
  readonly dir?: string
  /** Default: a free one. */
  readonly port?: number
  /** Further arguments of the server's command line, such as `['--maxmemory', '50mb']`; they win over the defaults. */
  readonly args?: readonly string[]
  /** Further variables of the server's environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** A running Redis that ends with this process. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly dir: string
  /** The process number; throws while the server is stopped. */
  readonly pid: number
  /** Sends one command and returns the answer of RESP 2; throws where the answer is an error. */
  command(...args: readonly (string | number)[]): Promise<Reply>
  /** Sends SIGKILL; resolves when the process has ended. */
  kill(): Promise<void>
  /** Sends SIGSTOP: connections stay open without answers. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Stops the server cleanly if it runs, and starts it on the same port and data. */
  restart(): Promise<void>
  /** Stops the server cleanly and removes its throw-away folder. */
  stop(): Promise<void>
}

/**
 * Starts a Redis server on the loopback address with the durability of production: `appendonly yes`, `appendfsync
 * always`, `maxmemory-policy noeviction`. Throws an Error that names what to install, or LockHeldError where another
 * process uses `dir`.
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
    // The append-only file is enough to restore all data.
    save: '',
    daemonize: 'no',
  }
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
}

/** Another server may listen on the port: only an answer with the expected process number counts. */
async function answersAs(port: number, pid: number): Promise<boolean> {
  const info = await sendCommand(port, ['INFO']).catch(() => '')
  return typeof info === 'string' && info.includes(`\nprocess_id:${pid}\r`) && info.includes('\nloading:0\r')
}

/** Starts an empty Redis for one test or test file (`t` of tap). It and its data are removed after that test. */
export async function throwAwayRedis(t: TestScope, options: Omit<RedisOptions, 'dir'> = {}): Promise<RedisServer> {
  const server = await startRedis(options)
  t.teardown(() => server.stop())
  return server
}

/** An answer of Redis in RESP 2. */
export type Reply = string | number | null | Reply[]

const deadlineMs = 5000

/**
 * Sends one command to a Redis on the loopback address over a separate connection, and returns the answer. Throws where
 * the answer is an error, Redis is unreachable, or silent for 5 s. Only packages/queue may import a complete client.
 */
export function sendCommand(port: number, args: readonly (string | number)[]): Promise<Reply> {
  const socket = connect({ port, host: '127.0.0.1' })
  return new Promise<Reply>((resolve, reject) => {
    const received: Buffer[] = []
    socket.setTimeout(deadlineMs, () => socket.destroy(new Error(`Redis was silent for ${deadlineMs} ms`)))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('Redis closed the connection without an answer')))
    socket.on('data', (chunk) => {
      received.push(chunk)
      resolveReply(Buffer.concat(received), resolve, reject)
    })
    write(socket, args)
  }).finally(() => socket.destroy())
}

function write(socket: Socket, args: readonly (string | number)[]): void {
  const parts = args.map(String).map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`)
  socket.write(`*${args.length}\r\n${parts.join('')}`)
}

function resolveReply(bytes: Buffer, resolve: (reply: Reply) => void, reject: (error: Error) => void): void {
  try {
    const read = readReply(bytes, 0)
    if (read !== null) resolve(read.reply)
  } catch (error) {
    reject(error as Error)
  }
}

type Read = { readonly reply: Reply; readonly end: number }

/** Reads one reply from `start`; returns null while it is incomplete. */
function readReply(bytes: Buffer, start: number): Read | null {
  const lineEnd = bytes.indexOf('\r\n', start)
  if (lineEnd === -1) return null
  const line = bytes.toString('utf8', start + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(bytes[start] ?? 0)) {
    case '+':
      return { reply: line, end }
    case ':':
      return { reply: Number(line), end }
    case '$':
      return readBulk(bytes, end, Number(line))
    case '*':
      return readArray(bytes, end, Number(line))
    default:
      throw new Error(`Redis answered: ${line}`)
  }
}

function readBulk(bytes: Buffer, start: number, length: number): Read | null {
  if (length === -1) return { reply: null, end: start }
  const end = start + length + 2
  return bytes.length < end ? null : { reply: bytes.toString('utf8', start, end - 2), end }
}

function readArray(bytes: Buffer, start: number, length: number): Read | null {
  if (length === -1) return { reply: null, end: start }
  const items: Reply[] = []
  let end = start
  while (items.length < length) {
    const item = readReply(bytes, end)
    if (item === null) return null
    items.push(item.reply)
    end = item.end
  }
  return { reply: items, end }
}
