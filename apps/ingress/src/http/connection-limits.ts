import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { AddressSet, RepeatedLine, type Logger } from '@persona-ingest/service'
import { answerClientError, unroutableAnswerer, type Refusals } from './answers.ts'
import { admitRequests, BoundedRequest, isReceiving, stopParsing } from './node-http-quirks.ts'

/**
 * Open connections. The provider and a proxy hold some dozens. A silent connection takes about 10 KB, so that this many
 * fit into 512 MB; it is closed within 6 s, and at once when others come.
 */
export const MAX_CONNECTIONS = 4096

/** Connections above the limit for a moment: one is accepted in each pass of the event loop. */
const SPARE_CONNECTIONS = 64

/**
 * Requests of one connection in one pass of the event loop. An honest client waits for the answer before its next request.
 * Node.js reads up to 2 MB of a connection in a pass: with 50 connections that sent 7,000 unauthentic requests a second
 * ahead, authentic deliveries waited 5 to 8 s.
 */
export const MAX_REQUESTS_PER_PASS = 4

/**
 * Bytes of a connection that belong to no request: Node.js parses empty lines before a request without an end. Beside 50
 * connections that sent them, 56 % of authentic deliveries were answered in time.
 */
const MAX_STRAY_BYTES = 64 * 1024
const CHECK_EVERY_MS = 100

const LOG_EVERY_MS = 10_000

/**
 * Connections in the order of eviction. First those without an authentic delivery, the oldest first; then the others, by
 * their last authentic delivery. Above the limit a new connection replaces the first of them.
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

  closeFirst(): void {
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

/** Notes that the connection of a request brought an authentic delivery: others are closed before it. */
export function protectConnection({ raw: { socket }, server }: FastifyRequest): void {
  openConnections.get(server.server)?.noteAuthentic(socket)
}

function limitConnections({ server, log }: FastifyInstance): void {
  const connections = new OpenConnections()
  openConnections.set(server, connections)
  server.maxConnections = MAX_CONNECTIONS + SPARE_CONNECTIONS
  const full = new RepeatedLine<string>({
    everyMs: LOG_EVERY_MS,
    write: (_key, count) => log.warn({ count, limit: MAX_CONNECTIONS }, 'connections closed, too many are open'),
  })
  server.on('connection', (socket) => {
    if (connections.count >= MAX_CONNECTIONS) {
      full.note('full')
      connections.closeFirst()
    }
    connections.add(socket)
  })
  server.on('drop', () => full.note('full'))
}

/** Counts by key within one pass of the event loop. */
class CountPerPass {
  #counts = new Map<object, number>()

  add(key: object): number {
    // An immediate runs when all bytes that this pass has read are handled.
    if (this.#counts.size === 0) setImmediate(() => (this.#counts = new Map()))
    const count = (this.#counts.get(key) ?? 0) + 1
    this.#counts.set(key, count)
    return count
  }
}

/** Finds connections that send bytes while none of their requests is in flight, and begin none. */
class StrayBytes {
  /** Bytes that a connection had sent when it was first seen without a request; null: it has begun a request since. */
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
    everyMs: LOG_EVERY_MS,
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
    everyMs: LOG_EVERY_MS,
    write: (_key, count) => app.log.warn({ count }, 'connections cut that sent bytes outside of requests'),
  })
  app.server.on('connection', (socket: Socket) => strayBytes.add(socket))
  const timer = setInterval(() => {
    for (const socket of strayBytes.find()) {
      cut.note('cut')
      stopParsing(socket)
      socket.destroy()
    }
  }, CHECK_EVERY_MS).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

function isReceived({ complete, headers }: IncomingMessage): boolean {
  const hasNoBody = (headers['content-length'] ?? '0') === '0' && headers['transfer-encoding'] === undefined
  return complete || hasNoBody
}

/** A delivery that was refused with 5xx comes back over the same connection. */
function keepsConnection({ statusCode, request }: FastifyReply): boolean {
  return statusCode >= 500 || (statusCode === 200 && request.routeOptions.url === '/webhooks/persona')
}

/**
 * Keeps only connections of accepted deliveries. Any other client has to be accepted again for its next request.
 *
 * Node.js accepts one connection per pass of its event loop. 500 kept connections with a steady stream of refusable
 * requests made passes of 50 ms: new connections, the provider's among them, waited 8 s to be accepted.
 */
function closeAfterRefusals(app: FastifyInstance): void {
  app.addHook('onSend', async ({ raw }, reply) => {
    // A connection that is closed while a body is on its way is reset, and the client does not see the answer. A proxy
    // may send the delivery of another client over the same connection next.
    if (!keepsConnection(reply) && isReceived(raw)) reply.header('connection', 'close')
  })
}

async function registerConnectionLimits(app: FastifyInstance): Promise<void> {
  limitConnections(app)
  const strayBytes = new StrayBytes()
  limitStrayBytes(app, strayBytes)
  limitRequestsAhead(app, strayBytes)
  closeAfterRefusals(app)
}

/** Limits what one client, or many, take of the connections: the deliveries of all others are answered in time. */
export const connectionLimits = fastifyPlugin(registerConnectionLimits, { name: 'connection-limits', fastify: '5.x' })

/** Twice the time that the provider waits for an answer. */
const REQUEST_TIMEOUT_MS = 10_000

export type ServerSettings = {
  /** Whether forwarded addresses count: for no peer, each peer, a number of hops, or peers of addresses and ranges. */
  readonly trustProxy: boolean | number | readonly string[]
  /** Longest body of a request, in bytes. */
  readonly bodyLimitBytes: number
}

/**
 * A number is the number of trusted hops, counted from the socket. Fastify 5.12 reads a number as no trust at all.
 *
 * Lists are evaluated here too: Fastify throws a TypeError for ranges such as 0.0.0.0/0, and does not recognize the address
 * of a proxy with a port.
 */
function trustedProxies(trustProxy: ServerSettings['trustProxy']): NonNullable<FastifyServerOptions['trustProxy']> {
  if (typeof trustProxy === 'boolean') return trustProxy
  if (typeof trustProxy === 'number') return (_address, hop) => hop < trustProxy
  const proxies = new AddressSet(trustProxy)
  return (address) => proxies.has(address)
}

/** Every limit is set on purpose, with its reason. */
export function serverOptions(settings: ServerSettings, logger: Logger, refusals: Refusals) {
  return {
    loggerInstance: logger as FastifyBaseLogger,
    // Fastify's lines contain URLs and client addresses (personal data); `deliveryLog` writes one line per delivery.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // Unique across processes: the log lines of the worker contain it too.
    genReqId: () => randomUUID(),
    trustProxy: trustedProxies(settings.trustProxy),
    bodyLimit: settings.bodyLimitBytes,
    // During the shutdown the routes answer requests on kept connections, with the error DRAINING.
    return503OnClosing: false,
    // For the whole request, a slow body included.
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Silence in either direction, also of a client that does not read its answer. Above the longest honest silence: 4 s
    // between the last byte and the answer.
    connectionTimeout: 15_000,
    // Above the idle time of usual load balancers (60 s): they would reuse a connection that the server has just closed.
    keepAliveTimeout: 75_000,
    // No maxRequestsPerSocket: the provider has few and long connections.
    http: {
      // Node.js checks every 30 s by default: the timeout of 10 s would be one of 40 s.
      connectionsCheckingInterval: 1000,
      headersTimeout: 5000,
      // The default of Node.js: signatures of a rotation take 200 bytes, proxies and OAuth tokens add a few KiB.
      maxHeaderSize: 16_384,
      IncomingMessage: BoundedRequest,
      // A missing Host is harmless, and Node.js would refuse it with an empty answer.
      requireHostHeader: false,
    },
    frameworkErrors: unroutableAnswerer(refusals),
    clientErrorHandler: (error, socket) => answerClientError(error, socket, refusals),
  } satisfies FastifyServerOptions & { http: object }
}
