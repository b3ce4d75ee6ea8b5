import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

type Parser = {
  incoming: IncomingMessage | null
  onIncoming: (request: unknown, isKeptAlive: boolean) => number
}

function parserOf(socket: Socket): Parser | null {
  return (Reflect.get(socket, 'parser') as Parser | null | undefined) ?? null
}

/** Whether a request of a connection is not complete. Node.js forgets one when it is complete and answered. */
export function isReceiving(socket: Socket): boolean {
  return parserOf(socket)?.incoming?.complete === false
}

/**
 * Ends the work on what a connection sent, also on what has been read of it already. The caller destroys it.
 *
 * A destroyed socket is not read again, but Node.js (20.20) goes on to parse the up to 64 KiB of the last read: 2,000
 * pipelined requests, or 11,000 chunks, each handed to JavaScript. Its parser has no public name, and its `pause()` acts
 * after the read only. A parser's `onIncoming` that answers 2 ("upgrade") ends the parsing there; a parser without an
 * `incoming` drops body pieces.
 *
 * @see https://github.com/nodejs/node/blob/v20.20.0/lib/_http_common.js
 */
export function stopParsing(socket: Socket): void {
  const parser = parserOf(socket)
  if (parser === null) return
  parser.onIncoming = () => 2
  parser.incoming = null
}

/**
 * Asks before each request that a connection brings; where it is refused, the connection is cut. No event of the server and no
 * hook of Fastify sees all of them: Node.js answers an odd `Expect` by itself, Fastify a URL that it cannot decode.
 * To be called within the event `connection`, when Node.js' own listener has given the socket its parser.
 */
export function admitRequests(socket: Socket, isAdmitted: () => boolean): void {
  const parser = parserOf(socket)
  if (parser === null) return
  const onIncoming = parser.onIncoming
  parser.onIncoming = (request, isKeptAlive) => {
    if (isAdmitted()) return onIncoming(request, isKeptAlive)
    stopParsing(socket)
    socket.destroy()
    return 2
  }
}
