import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { BoundedRequest } from '../bounded-request.ts'
import { IngressError } from '../errors.ts'
import type { BodyBudget } from './body-budget.ts'

/** What a body of several pieces takes at first; not more of it is resident than was written. */
const FIRST_BYTES = 65_536

type Done = (error: Error | null, body?: Buffer) => void

/**
 * One body, as far as it is here. Pieces are copied together: those that drip would be held as thousands of objects.
 * Resizable memory grows where it is, and goes back to the system at once, not when V8 collects garbage next.
 */
class HeldBody {
  readonly #mostBytes: number
  #only: Buffer | null = null
  #memory: ArrayBuffer | null = null
  #bytes: Uint8Array = new Uint8Array(0)
  length = 0

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes
  }

  /** Takes `mostBytes` at most. */
  add(piece: Buffer): void {
    const at = this.length
    this.length += piece.length
    // Most bodies are one piece.
    if (at === 0) {
      this.#only = piece
      return
    }
    this.#reserve(this.length)
    if (this.#only !== null) this.#bytes.set(this.#only)
    this.#only = null
    this.#bytes.set(piece, at)
  }

  /** Ends its memory; gives the whole body. */
  take(): Buffer {
    const body = this.#only ?? Buffer.from(this.#bytes.subarray(0, this.length))
    this.free()
    return body
  }

  free(): void {
    this.#only = null
    this.#bytes = new Uint8Array(0)
    this.#memory?.resize(0)
    this.#memory = null
    this.length = 0
  }

  #reserve(bytes: number): void {
    const known = this.#memory?.byteLength ?? 0
    if (bytes <= known) return
    const size = Math.min(this.#mostBytes, Math.max(bytes, 2 * known, FIRST_BYTES))
    if (this.#memory === null) {
      this.#memory = new ArrayBuffer(size, { maxByteLength: this.#mostBytes })
      this.#bytes = new Uint8Array(this.#memory)
    } else this.#memory.resize(size)
  }
}

/**
 * Reads bodies as a parser of Fastify's. `budget` is asked for what is held of a body, and not for what its request
 * announces: chunked bodies announce nothing.
 */
export function bodyReader({ limitBytes, budget }: { limitBytes: number; budget: BodyBudget }) {
  return (request: FastifyRequest, payload: IncomingMessage, done: Done): void => {
    const announced = request.headers['content-length']
    if (announced !== undefined && Number(announced) > limitBytes) {
      done(new IngressError('BODY_TOO_LARGE'))
      return
    }
    const mostBytes = announced === undefined ? limitBytes : Number(announced)
    const held = new HeldBody(mostBytes)
    const settle = (error: Error | null, body?: Buffer) => {
      payload.removeListener('data', onData)
      payload.removeListener('end', onEnd)
      payload.removeListener('error', settle)
      held.free()
      if (error !== null && payload instanceof BoundedRequest) payload.discard()
      done(error, body)
    }
    const giveUp = () => settle(new IngressError('BODY_BUDGET_EXCEEDED'))
    function onData(piece: Buffer): void {
      if (held.length + piece.length > mostBytes) {
        settle(new IngressError(announced === undefined ? 'BODY_TOO_LARGE' : 'REQUEST_INCOMPLETE'))
        return
      }
      held.add(piece)
      if (!budget.admits(request.raw, held.length, giveUp)) giveUp()
    }
    function onEnd(): void {
      if (announced !== undefined && held.length !== Number(announced)) settle(new IngressError('REQUEST_INCOMPLETE'))
      else settle(null, held.take())
    }
    payload.on('data', onData)
    payload.on('end', onEnd)
    payload.on('error', settle)
    payload.resume()
  }
}
