import { ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ERROR_MEDIA_TYPE, errorDocument } from './error-document.ts'
import { errorRow, type IngressErrorCode } from './errors.ts'
import type { Refusals } from './refusals.ts'

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
export function refuseOnSocket(code: IngressErrorCode, socket: Duplex, refusals: Refusals): void {
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
