import type { Socket } from 'node:net'

type Parser = { incoming: unknown; onIncoming: (request: unknown, isKeptAlive: boolean) => number }

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
  const parser = Reflect.get(socket, 'parser') as Parser | null | undefined
  if (!parser) return
  parser.onIncoming = () => 2
  parser.incoming = null
}
