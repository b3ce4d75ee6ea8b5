import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { RepeatedLine } from '@persona-ingest/service'
import { admitRequests, isReceiving, stopParsing } from './node-http-quirks.ts'

/**
 * Open connections. The provider and a proxy hold some dozens; a flood of silent ones took about 10 KB each, so that this
 * many fit beside everything else into 512 MB. Silent ones are closed within 6 s, and at once when others come.
 */
export const MAX_CONNECTIONS = 4096

/**
 * Requests of one connection in one pass of the event loop. Nobody honest sends the next request before the answer is
 * here, so that a pass finds one. Node.js reads up to 2 MB of a connection in a pass: while 50 connections sent 7,000
 * unauthentic requests a second ahead, authentic deliveries waited 5 to 8 s behind them.
 */
export const MAX_REQUESTS_PER_PASS = 4

/**
 * Bytes of a connection that belong to no request: Node.js parses empty lines before one without an end. Beside 50
 * connections that sent them, 56 % of authentic deliveries were answered in time.
 */
const MAX_STRAY_BYTES = 64 * 1024
const LOOK_EVERY_MS = 100

const SAY_EVERY_MS = 10_000

/** How many connections are above the limit for a moment: one is accepted in each pass of the event loop. */
const SPARE_CONNECTIONS = 64

/**
 * Connections by how long they have been of no use, the longest first: since they were accepted, or since their last
 * authentic delivery. Above the limit a new connection replaces the first of those that never brought one.
 */
class OpenConnections {
  readonly #unproven = new Set<Socket>()
  readonly #proven = new Set<Socket>()

  get count(): number {
    return this.#unproven.size + this.#proven.size
  }

  add(socket: Socket): void {
    this.#unproven.add(socket)
    socket.once('close', () => {
      this.#unproven.delete(socket)
      this.#proven.delete(socket)
    })
  }

  noteAuthentic(socket: Socket): void {
    const isOpen = this.#unproven.delete(socket) || this.#proven.delete(socket)
    if (isOpen) this.#proven.add(socket)
  }

  endFirst(): void {
    for (const connections of [this.#unproven, this.#proven]) {
      for (const socket of connections) {
        connections.delete(socket)
        stopParsing(socket)
        socket.destroy()
        return
      }
    }
  }
}

const openConnections = new WeakMap<Server, OpenConnections>()

/** Notes that the connection of a request brought an authentic delivery: others make room before it. */
export function protectConnection({ raw: { socket }, server }: FastifyRequest): void {
  openConnections.get(server.server)?.noteAuthentic(socket)
}

function limitConnections({ server, log }: FastifyInstance): void {
  const connections = new OpenConnections()
  openConnections.set(server, connections)
  server.maxConnections = MAX_CONNECTIONS + SPARE_CONNECTIONS
  const full = new RepeatedLine<string>({
    everyMs: SAY_EVERY_MS,
    write: (_key, count) => log.warn({ count, limit: MAX_CONNECTIONS }, 'connections closed, too many are open'),
  })
  server.on('connection', (socket) => {
    if (connections.count >= MAX_CONNECTIONS) {
      full.note('full')
      connections.endFirst()
    }
    connections.add(socket)
  })
  server.on('drop', () => full.note('full'))
}

/** Counts by key what happens within one pass of the event loop. */
class CountPerPass {
  #counts = new Map<object, number>()

  add(key: object): number {
    // It runs as soon as all that the pass has read is handled.
    if (this.#counts.size === 0) setImmediate(() => (this.#counts = new Map()))
    const count = (this.#counts.get(key) ?? 0) + 1
    this.#counts.set(key, count)
    return count
  }
}

/** Finds connections that go on to send while no request of theirs is under way, and begin none. */
class StrayBytes {
  /** What a connection had sent when it was seen without a request first; null: it has begun one since. */
  readonly #bytesWhenIdle = new Map<Socket, number | null>()

  add(socket: Socket): void {
    this.#bytesWhenIdle.set(socket, 0)
    socket.once('close', () => this.#bytesWhenIdle.delete(socket))
  }

  noteRequest(socket: Socket): void {
    if (this.#bytesWhenIdle.has(socket)) this.#bytesWhenIdle.set(socket, null)
  }

  /** The connections above the limit. */
  *find(): Generator<Socket> {
    for (const [socket, bytes] of this.#bytesWhenIdle) {
      if (bytes !== null && socket.bytesRead - bytes > MAX_STRAY_BYTES) yield socket
      else if (bytes === null && !isReceiving(socket)) this.#bytesWhenIdle.set(socket, socket.bytesRead)
    }
  }
}

function limitRequestsAhead(app: FastifyInstance, strayBytes: StrayBytes): void {
  const requests = new CountPerPass()
  const cut = new RepeatedLine<string>({
    everyMs: SAY_EVERY_MS,
    write: (_key, count) => app.log.warn({ count }, 'connections cut that sent requests ahead of their answers'),
  })
  app.server.on('connection', (socket: Socket) => {
    admitRequests(socket, () => {
      strayBytes.noteRequest(socket)
      if (requests.add(socket) <= MAX_REQUESTS_PER_PASS) return true
      cut.note('cut')
      return false
    })
  })
}

function limitStrayBytes(app: FastifyInstance, strayBytes: StrayBytes): void {
  const cut = new RepeatedLine<string>({
    everyMs: SAY_EVERY_MS,
    write: (_key, count) => app.log.warn({ count }, 'connections cut that sent bytes outside of requests'),
  })
  app.server.on('connection', (socket: Socket) => strayBytes.add(socket))
  const timer = setInterval(() => {
    for (const socket of strayBytes.find()) {
      cut.note('cut')
      stopParsing(socket)
      socket.destroy()
    }
  }, LOOK_EVERY_MS).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

function isAllHere({ complete, headers }: IncomingMessage): boolean {
  const hasNoBody = (headers['content-length'] ?? '0') === '0' && headers['transfer-encoding'] === undefined
  return complete || hasNoBody
}

/** Our own refusals (5xx) pass, and come back over the same connections. */
function keepsConnection({ statusCode, request }: FastifyReply): boolean {
  return statusCode >= 500 || (statusCode === 200 && request.routeOptions.url === '/webhooks/persona')
}

/**
 * Only deliveries that were taken keep their connection: everybody else has to be accepted again for the next request.
 *
 * Node.js accepts one connection per pass of its event loop. 500 kept connections that asked for something refusable as
 * soon as they could made passes of 50 ms: newcomers, the provider among them, waited 8 s to be accepted.
 */
function closeAfterRefusals(app: FastifyInstance): void {
  app.addHook('onSend', async ({ raw }, reply) => {
    // Closed while its body is on its way, the client would see a reset instead of the answer; and it may be a proxy,
    // which sends somebody else's delivery over the same connection next.
    if (!keepsConnection(reply) && isAllHere(raw)) reply.header('connection', 'close')
  })
}

/** What one client, or many, may take of the connections, so that the deliveries of all others are answered in time. */
async function registerConnectionLimits(app: FastifyInstance): Promise<void> {
  limitConnections(app)
  const strayBytes = new StrayBytes()
  limitStrayBytes(app, strayBytes)
  limitRequestsAhead(app, strayBytes)
  closeAfterRefusals(app)
}

export const connectionLimits = fastifyPlugin(registerConnectionLimits, { name: 'connection-limits', fastify: '5.x' })
