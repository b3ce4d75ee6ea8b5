import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { QueueUnavailableError } from '@persona-ingest/queue'
import { RepeatedLine, type Counter, type Logger } from '@persona-ingest/service'
import {
  DELIVERY_ROUTE,
  ERROR_MEDIA_TYPE,
  errorDocument,
  errorRow,
  IngressError,
  type IngressErrorCode,
} from './errors.ts'
import { hasBegunToAnswer } from './node-http-quirks.ts'

/** The methods of each path, for `Allow`; also the list of all public paths. */
const METHODS_BY_PATH: Readonly<Record<string, string>> = {
  '/webhooks/persona': 'POST',
  '/livez': 'GET, HEAD',
  '/readyz': 'GET, HEAD',
}

/** Errors of Fastify and Node.js about a request. */
const REQUEST_ERRORS: Readonly<Record<string, IngressErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'CONTENT_TYPE_UNSUPPORTED',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'REQUEST_INCOMPLETE',
  ECONNRESET: 'REQUEST_INCOMPLETE',
}

/** Errors of Node.js about bytes that are no request. */
const CONNECTION_ERRORS: Readonly<Record<string, IngressErrorCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'BODY_TOO_LARGE',
}

const LOG_EVERY_MS = 60_000

/**
 * Counts and logs requests that are refused before they are a delivery: a wrong path or method, malformed HTTP, a
 * timeout. A webhook with a wrong URL shows nowhere else. Codes only, since a path may contain anything.
 */
export class Refusals {
  readonly #counter: Counter<'reason'>
  readonly #lines: RepeatedLine<IngressErrorCode>

  constructor({ refusedRequests, logger }: { refusedRequests: Counter<'reason'>; logger: Logger }) {
    this.#counter = refusedRequests
    this.#lines = new RepeatedLine({
      everyMs: LOG_EVERY_MS,
      write: (reason, count) =>
        logger.warn({ reason, count, expected: DELIVERY_ROUTE }, 'requests refused that are no deliveries'),
    })
  }

  note(code: IngressErrorCode): void {
    this.#counter.inc({ reason: code })
    this.#lines.note(code)
  }
}

type Failure = Partial<Pick<FastifyError, 'code' | 'statusCode' | 'cause'>>

function codeOf(error: Failure): IngressErrorCode {
  if (error instanceof IngressError) return error.code
  const known = REQUEST_ERRORS[error.code ?? '']
  if (known !== undefined) return known
  const isOfClient = error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500
  return isOfClient ? 'REQUEST_MALFORMED' : 'INTERNAL_ERROR'
}

/** Logs unexpected errors whole. The log line of the delivery names an outage, so that it needs no second line. */
function isUnexpected(error: Failure, code: IngressErrorCode): boolean {
  return code === 'INTERNAL_ERROR' || (error.cause !== undefined && !(error.cause instanceof QueueUnavailableError))
}

function note(
  error: Failure,
  code: IngressErrorCode,
  { request, refusals }: { readonly request: FastifyRequest; readonly refusals: Refusals },
): void {
  if (!request.delivery) {
    refusals.note(code)
    return
  }
  request.delivery.reason = code
  if (error.cause instanceof QueueUnavailableError) request.delivery.fault = error.cause.code
}

type AnswerError = (error: Failure, request: FastifyRequest, reply: FastifyReply) => FastifyReply

/** Returns a handler that answers with a row of the error table and notes the code for the log and the metrics. */
function errorAnswerer(refusals: Refusals): AnswerError {
  return (error, request, reply) => {
    const code = codeOf(error)
    const { status, retryAfter } = errorRow(code)
    if (isUnexpected(error, code)) request.log.error({ err: error }, 'request failed')
    note(error, code, { request, refusals })
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter))
    // Fastify would close the connection while the body is on its way: the client would see a reset instead of the
    // answer. The rest of the body is read and dropped, within the limits of `BoundedRequest`.
    if (code === 'BODY_TOO_LARGE' || code === 'BODY_BUDGET_EXCEEDED') reply.removeHeader('connection')
    return reply.code(status).type(ERROR_MEDIA_TYPE).send(errorDocument(code))
  }
}

/** Answers a request whose URL cannot be decoded: Fastify runs neither hooks nor the error handler for it. */
export function unroutableAnswerer(refusals: Refusals): (...values: Parameters<AnswerError>) => void {
  const answerError = errorAnswerer(refusals)
  return (error, request, reply) => {
    reply.header('connection', 'close')
    answerError(error, request, reply)
  }
}

/** Refuses on the socket itself. Where an answer has begun, nothing is added in the middle of it. */
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

/** Answers bytes that Node.js could not parse: there is no request object. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket, refusals: Refusals): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  refuseOnSocket(CONNECTION_ERRORS[error.code ?? ''] ?? 'REQUEST_MALFORMED', socket, refusals)
}

/** Node.js gives such a request to no route. */
function refuseExpectation(response: ServerResponse, refusals: Refusals): void {
  const code = 'EXPECTATION_FAILED'
  refusals.note(code)
  response.writeHead(errorRow(code).status, { 'content-type': ERROR_MEDIA_TYPE, connection: 'close' })
  response.end(errorDocument(code))
}

function isHost(name: string): boolean {
  return name.length === 4 && name.toLowerCase() === 'host'
}

/** A proxy may read another one of two Host headers than Node.js, which keeps the first. */
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
  // Node.js meets `Expect: 100-continue` itself. It answers any other expectation without a body where nothing listens.
  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    refuseExpectation(response, refusals)
  })
  // First hooks, before the body is read: an unknown path is 404 with any body.
  app.addHook('onRequest', refuseTwoHosts)
  app.addHook('onRequest', refuseUnknownRoute)
  // Without a listener Node.js ends the connection of a CONNECT without an answer.
  app.server.on('connect', (_request, socket) => {
    // Node.js has removed its own listener; without one a reset of the connection ends the process.
    socket.on('error', () => {})
    refuseOnSocket('NOT_FOUND', socket, refusals)
  })
  app.setNotFoundHandler((request, reply) => answerError(new IngressError('NOT_FOUND'), request, reply))
}

/** Answers every refused or failed request in the form of the error table. */
export const errorAnswers = fastifyPlugin(registerErrorAnswers, { name: 'error-answers', fastify: '5.x' })
