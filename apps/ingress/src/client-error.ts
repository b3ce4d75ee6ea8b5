import { ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { ERROR_MEDIA_TYPE, errorDocument } from './error-document.ts'
import { errorRow, type IngressErrorCode } from './errors.ts'
import type { Refusals } from './refusals.ts'

const codes: Readonly<Record<string, IngressErrorCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'BODY_TOO_LARGE',
}

/** Node.js keeps the answer under way in a property that has no public name; its own default handler looks there too. */
function hasBegunToAnswer(socket: Socket): boolean {
  const underWay: unknown = Reflect.get(socket, '_httpMessage')
  return underWay instanceof ServerResponse && underWay.headersSent
}

/**
 * Answers on the socket itself where Node.js could not read the request, so that no request object exists.
 * Where an answer has begun on that socket nothing is added: it would stand in the middle of it.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket, refusals: Refusals): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const code = codes[error.code ?? ''] ?? 'REQUEST_MALFORMED'
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
