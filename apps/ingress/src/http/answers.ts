import { type IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { QueueUnavailableError } from '@persona-ingest/queue'

import {
  DELIVERY_ROUTE,
  ERROR_MEDIA_TYPE,
  errorDocument,
  errorRow,
  IngressError,
  type IngressErrorCode,
} from './errors.ts'
import { RepeatedLine, type Logger } from '@persona-ingest/service'
import type { IngressMetrics } from '../metrics.ts'

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

const SAY_EVERY_MS = 60_000

/**
 * Counts and logs requests that are refused before they are a delivery: a wrong path or method, malformed HTTP, a
 * timeout. A webhook with a wrong URL shows nowhere else. Codes only: a path may hold anything.
 */
export class Refusals {
  readonly #counter: IngressMetrics['refusedRequests']
  readonly #lines: RepeatedLine<IngressErrorCode>

  constructor({ metrics, logger }: { metrics: Pick<IngressMetrics, 'refusedRequests'>; logger: Logger }) {
    this.#counter = metrics.refusedRequests
    this.#lines = new RepeatedLine({
      everyMs: SAY_EVERY_MS,
      write: (reason, count) =>
        logger.warn({ reason, count, expected: DELIVERY_ROUTE }, 'requests refused that are no deliveries'),
    })
  }

  note(code: IngressErrorCode): void {
    this.#counter.inc({ reason: code })
    this.#lines.note(code)
  }
}

/** The methods that each path takes, for `Allow`; also the list of what the public port shows. */
const METHODS_BY_PATH: Readonly<Record<string, string>> = {
  '/webhooks/persona': 'POST',
  '/livez': 'GET, HEAD',
  '/readyz': 'GET, HEAD',
}

/** Fastify's and Node.js' own errors, in our words. */
const CODES: Readonly<Record<string, IngressErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'CONTENT_TYPE_UNSUPPORTED',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'REQUEST_INCOMPLETE',
  ECONNRESET: 'REQUEST_INCOMPLETE',
}

type Failure = Partial<Pick<FastifyError, 'code' | 'statusCode' | 'cause'>>

function codeOf(error: Failure): IngressErrorCode {
  if (error instanceof IngressError) return error.code
  const known = CODES[error.code ?? '']
  if (known !== undefined) return known
  const isClients = error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500
  return isClients ? 'REQUEST_MALFORMED' : 'INTERNAL_ERROR'
}

type Noted = { readonly request: FastifyRequest; readonly refusals: Refusals }

/** An outage is told by the delivery's own line; what nobody thought of needs the whole error. */
function isUnexpected(error: Failure, code: IngressErrorCode): boolean {
  return code === 'INTERNAL_ERROR' || (error.cause !== undefined && !(error.cause instanceof QueueUnavailableError))
}

function note(error: Failure, code: IngressErrorCode, { request, refusals }: Noted): void {
  if (!request.delivery) {
    refusals.note(code)
    return
  }
  request.delivery.reason = code
  if (error.cause instanceof QueueUnavailableError) request.delivery.fault = error.cause.code
}

/** Makes what answers with a row of the error table, and remembers the code for the log and the metrics. */
export function errorAnswerer(refusals: Refusals) {
  return (error: Failure, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const code = codeOf(error)
    const { status, retryAfter } = errorRow(code)
    if (isUnexpected(error, code)) request.log.error({ err: error }, 'request failed')
    note(error, code, { request, refusals })
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter))
    // Fastify closes at once, while the rest of the body is on its way: the client would see a reset instead of the
    // answer. Left open, the rest is read and dropped, as far as a `BoundedRequest` lets it.
    if (code === 'BODY_TOO_LARGE' || code === 'BODY_BUDGET_EXCEEDED') reply.removeHeader('connection')
    return reply.code(status).type(ERROR_MEDIA_TYPE).send(errorDocument(code))
  }
}

/** Node.js hands such requests to no route of ours. */
function refuseExpectation(response: ServerResponse, refusals: Refusals): void {
  const code = 'EXPECTATION_FAILED'
  refusals.note(code)
  response.writeHead(errorRow(code).status, { 'content-type': ERROR_MEDIA_TYPE, connection: 'close' })
  response.end(errorDocument(code))
}

function isHost(name: string): boolean {
  return name.length === 4 && name.toLowerCase() === 'host'
}

/** Two of them may mean two things to a proxy and to us. Node.js keeps the first. */
async function refuseTwoHosts({ raw: { rawHeaders } }: FastifyRequest, reply: FastifyReply): Promise<void> {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) if (isHost(rawHeaders[at] ?? '')) hosts += 1
  if (hosts < 2) return
  reply.header('connection', 'close')
  throw new IngressError('REQUEST_MALFORMED')
}

async function refuseUnknownRoute(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (!request.is404) return
  const allowed = METHODS_BY_PATH[request.url.split('?', 1)[0] ?? '']
  if (allowed === undefined) throw new IngressError('NOT_FOUND')
  reply.header('allow', allowed)
  throw new IngressError('METHOD_NOT_ALLOWED')
}

async function registerErrorAnswers(app: FastifyInstance, { refusals }: { refusals: Refusals }): Promise<void> {
  const answerError = errorAnswerer(refusals)
  app.setErrorHandler(answerError)
  // `Expect: 100-continue` is met by Node.js itself, without a body for any other.
  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    refuseExpectation(response, refusals)
  })
  // As the first hook, before a body is looked at: an unknown path is 404, whatever comes with it.
  app.addHook('onRequest', refuseTwoHosts)
  app.addHook('onRequest', refuseUnknownRoute)
  // Node.js ends the connection of a CONNECT without an answer where there is no listener.
  app.server.on('connect', (_request, socket) => {
    // Node.js has removed its own listener; without one a reset of the connection ends the process.
    socket.on('error', () => {})
    refuseOnSocket('NOT_FOUND', socket, refusals)
  })
  app.setNotFoundHandler((request, reply) => answerError(new IngressError('NOT_FOUND'), request, reply))
}

export const errorAnswers = fastifyPlugin(registerErrorAnswers, { name: 'error-answers', fastify: '5.x' })

const codes: Readonly<Record<string, IngressErrorCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'BODY_TOO_LARGE',
}

/** Node.js keeps the answer under way in a property that has no public name; its own default handler looks there too. */
function hasBegunToAnswer(socket: Duplex): boolean {
  const underWay: unknown = Reflect.get(socket, '_httpMessage')
  return underWay instanceof ServerResponse && underWay.headersSent
}

/** Refuses on the socket itself, counted and logged. Where an answer has begun nothing is added in the middle of it. */
function refuseOnSocket(code: IngressErrorCode, socket: Duplex, refusals: Refusals): void {
  refusals.note(code)
  if (!socket.writable || hasBegunToAnswer(socket)) {
    socket.destroy()
    return
  }
  const { status } = errorRow(code)
  const document = errorDocument(code)
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `content-type: ${ERROR_MEDIA_TYPE}`,
    `content-length: ${document.length}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${document.toString()}`, () => socket.destroy())
}

/** Answers where Node.js could not read the request, so that no request object exists. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket, refusals: Refusals): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  refuseOnSocket(codes[error.code ?? ''] ?? 'REQUEST_MALFORMED', socket, refusals)
}
