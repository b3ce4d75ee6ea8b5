import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { IngressError } from './errors.ts'

// Every use of names of Node.js' HTTP server that are not public, checked on Node.js 20.20. For each,
// `test/unit/node-http-quirks.test.ts` fails where Node.js has changed it, or needs the workaround no more.
// @see https://github.com/nodejs/node/blob/v20.20.0/lib/_http_common.js, _http_server.js and _http_incoming.js

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

/** Whether an answer has begun on a socket. Node.js' own handler of client errors reads the same property. */
export function hasBegunToAnswer(socket: Duplex): boolean {
  const inFlight: unknown = Reflect.get(socket, '_httpMessage')
  return inFlight instanceof ServerResponse && inFlight.headersSent
}

/**
 * Ends the parsing of what a connection sent, also of what has been read already. The caller destroys the socket.
 *
 * A destroyed socket is not read again, but Node.js parses the rest of the last read, up to 64 KiB: 2,000 pipelined
 * requests, or 11,000 chunks. An `onIncoming` that returns 2 ("upgrade") ends the parsing; a parser without an `incoming`
 * drops pieces of a body.
 */
export function stopParsing(socket: Socket): void {
  const parser = parserOf(socket)
  if (parser === null) return
  parser.onIncoming = () => 2
  parser.incoming = null
}

/**
 * Calls `isAdmitted` before each request of a connection, and cuts the connection where the result is false. Called within
 * the event `connection`, when the listener of Node.js has given the socket its parser.
 *
 * No event of the server and no hook of Fastify sees all requests: Node.js answers an unknown `Expect` itself, and Fastify
 * a URL that it cannot decode.
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

/**
 * Pieces in which a body may come: `FREE_PIECES`, and one more per `BYTES_PER_PIECE`. A chunk, or a read of a socket, costs
 * some microseconds and an object, whatever its length. Proxies forward 1,460 bytes and more.
 */
const FREE_PIECES = 256
const BYTES_PER_PIECE = 64

/**
 * Further pieces, shared by all requests: one client that sends single bytes is read, many at once are cut. They take
 * about a tenth of a processor.
 */
const SHARED_PIECES_PER_SECOND = 20_000

/** Smaller pieces are copied into blocks: the memory of a body is bytes, not objects. */
const SMALL_BYTES = 4096
const UNCOPIED_PIECES = 8
const BLOCK_BYTES = 16_384

/** Read of one body in one pass of the event loop, and the number of unfinished bodies that go on in the next. */
const BYTES_PER_PASS = 128 * 1024
const PIECES_PER_PASS = 256
const READERS_PER_PASS = 1

/** Read and dropped of a refused body: the client sees the answer before a reset. */
const MAX_DISCARDED_BYTES = 16 * 1024 * 1024

/** A token bucket that holds the pieces of one second at most. */
class SharedPieces {
  #left = SHARED_PIECES_PER_SECOND
  #filledAtMs = performance.now()

  take(): boolean {
    const nowMs = performance.now()
    const refilled = this.#left + ((nowMs - this.#filledAtMs) / 1000) * SHARED_PIECES_PER_SECOND
    this.#left = Math.min(refilled, SHARED_PIECES_PER_SECOND)
    this.#filledAtMs = nowMs
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}

/**
 * Lets connections that send much be read in turns. Node.js reads up to 2 MB of a connection in one pass of its event
 * loop, and accepts one connection in the same time.
 */
class ReadTurns {
  readonly #waiting = new Set<BoundedRequest>()
  #pass = 0
  #isScheduled = false

  /** The number of the current pass of the event loop. */
  get pass(): number {
    this.#schedule()
    return this.#pass
  }

  wait(request: BoundedRequest): void {
    this.#waiting.add(request)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#next())
  }

  #next(): void {
    this.#isScheduled = false
    this.#pass += 1
    let resumed = 0
    for (const request of this.#waiting) {
      if (resumed === READERS_PER_PASS) break
      this.#waiting.delete(request)
      if (request.takeTurn()) resumed += 1
    }
    if (this.#waiting.size > 0) this.#schedule()
  }
}

const sharedPieces = new SharedPieces()
const turns = new ReadTurns()

/**
 * A request whose body is bounded in pieces, and read in turns with others.
 *
 * Node.js passes each chunk to `push` as an object: 64 KiB of chunks of one byte became 11,000 objects of several MB.
 */
export class BoundedRequest extends IncomingMessage {
  #pieces = 0
  #bytes = 0
  #discardedBytes = 0
  #pass = -1
  #piecesOfPass = 0
  #bytesOfPass = 0
  #isWaiting = false
  #isDiscarding = false
  #isCut = false
  #block: Buffer | null = null
  #blockBytes = 0

  override push(piece: Uint8Array | null, encoding?: BufferEncoding): boolean {
    if (this.#isCut) return true
    if (piece === null) {
      this.#flush()
      return super.push(null)
    }
    this.#count(piece.length)
    if (this.#isOver()) {
      this.#cut()
      return true
    }
    const wantsMore = this.#isDiscarding || this.#keep(piece, encoding)
    if (this.#bytesOfPass < BYTES_PER_PASS && this.#piecesOfPass < PIECES_PER_PASS) return wantsMore
    this.#waitForTurn()
    return false
  }

  override _read(size: number): void {
    if (!this.#isWaiting) super._read(size)
  }

  /** Replaces Node.js' method for bodies that were not read, which drops pieces before `push` could count them. */
  _dump(): void {
    this.discard()
  }

  /** Drops the rest of the body, within limits. */
  discard(): void {
    if (this.#isDiscarding) return
    this.#isDiscarding = true
    this.#block = null
    this.removeAllListeners('data')
    this.resume()
  }

  /** Goes on to be read; false where there is nothing left to read. */
  takeTurn(): boolean {
    this.#isWaiting = false
    if (this.destroyed || this.socket.destroyed) return false
    super._read(0)
    this.socket.resume()
    return true
  }

  #count(bytes: number): void {
    if (this.#pass !== turns.pass) {
      this.#pass = turns.pass
      this.#piecesOfPass = 0
      this.#bytesOfPass = 0
    }
    this.#pieces += 1
    this.#piecesOfPass += 1
    this.#bytes += bytes
    this.#bytesOfPass += bytes
    if (this.#isDiscarding) this.#discardedBytes += bytes
  }

  #isOver(): boolean {
    if (this.#discardedBytes > MAX_DISCARDED_BYTES) return true
    if (this.#pieces <= FREE_PIECES + this.#bytes / BYTES_PER_PIECE) return false
    return this.#isDiscarding || !sharedPieces.take()
  }

  #keep(piece: Uint8Array, encoding?: BufferEncoding): boolean {
    if (this.#pieces <= UNCOPIED_PIECES || piece.length >= SMALL_BYTES) {
      this.#flush()
      return super.push(piece, encoding)
    }
    this.#block ??= this.#newBlock()
    this.#block.set(piece, this.#blockBytes)
    this.#blockBytes += piece.length
    return this.#blockBytes <= BLOCK_BYTES - SMALL_BYTES || this.#flush()
  }

  /** The limit of a body counts bytes that were pushed: a block is pushed after this pass at the latest. */
  #newBlock(): Buffer {
    setImmediate(() => this.#flush())
    return Buffer.allocUnsafe(BLOCK_BYTES)
  }

  #flush(): boolean {
    const block = this.#block
    if (block === null) return true
    this.#block = null
    const bytes = Buffer.from(block.subarray(0, this.#blockBytes))
    this.#blockBytes = 0
    return super.push(bytes)
  }

  #waitForTurn(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    turns.wait(this)
  }

  #cut(): void {
    this.#isCut = true
    this.#block = null
    stopParsing(this.socket)
    this.destroy(new IngressError('BODY_FRAGMENTED'))
  }
}
