import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { RepeatedLine } from '@persona-ingest/runtime'

/**
 * Open connections. The provider and a proxy hold some dozens; a flood of silent ones took about 10 KB each, so that this
 * many fit beside everything else into 512 MB. What comes above it is closed at once, and silent ones within 6 s.
 */
export const MAX_CONNECTIONS = 4096

/**
 * Requests of one connection in one pass of the event loop. Nobody honest sends the next request before the answer is
 * here, so that a pass finds one. Node.js reads up to 2 MB of a connection in a pass: while 50 connections sent 7,000
 * unauthentic requests a second ahead, authentic deliveries waited 5 to 8 s behind them.
 */
export const MAX_REQUESTS_PER_PASS = 4

const SAY_EVERY_MS = 10_000
const MAKE_ROOM_EVERY_MS = 1000

function limitConnections({ server, log }: FastifyInstance): void {
  server.maxConnections = MAX_CONNECTIONS
  const full = new RepeatedLine<string>({
    everyMs: SAY_EVERY_MS,
    write: (_key, count) =>
      log.warn({ count, limit: MAX_CONNECTIONS }, 'connections closed at once, too many are open'),
  })
  let madeRoomAtMs = Number.NEGATIVE_INFINITY
  server.on('drop', () => {
    full.note('full')
    if (performance.now() - madeRoomAtMs < MAKE_ROOM_EVERY_MS) return
    madeRoomAtMs = performance.now()
    // Those that had their answers and would idle for 75 s; whoever is in the middle of a request goes on.
    server.closeIdleConnections()
  })
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

function limitRequestsAhead(app: FastifyInstance): void {
  const requests = new CountPerPass()
  const cut = new RepeatedLine<string>({
    everyMs: SAY_EVERY_MS,
    write: (_key, count) => app.log.warn({ count }, 'connections cut that sent requests ahead of their answers'),
  })
  app.addHook('onRequest', async ({ raw: { socket } }, reply) => {
    if (requests.add(socket) <= MAX_REQUESTS_PER_PASS) return
    // What was read with it is still handed to us, and comes this far only.
    if (!socket.destroyed) cut.note('cut')
    socket.destroy()
    reply.hijack()
  })
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
async function connectionLimits(app: FastifyInstance): Promise<void> {
  limitConnections(app)
  limitRequestsAhead(app)
  closeAfterRefusals(app)
}

export default fastifyPlugin(connectionLimits, { name: 'connection-limits', fastify: '5.x' })
