import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BoundedRequest } from '../http/node-http-quirks.ts'
import { IngressError } from '../http/errors.ts'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import fastifyPlugin from 'fastify-plugin'

/** Smaller bodies are always read: as many as there may be connections take 128 MiB. */
const SMALL_BYTES = 32 * 1024

/**
 * What is held of larger bodies at once: a body has to be held whole before its signature can tell whose it is.
 * Without a budget, 400 anonymous connections with 1.9 MB each took 900 MB, 1,000 took 2.1 GB; the container has 512 MB.
 */
export const BUDGET_BYTES = 128 * 1024 * 1024

/**
 * A body makes room for others if it grew by less than this in the last second. A single byte must not be enough:
 * 64 connections that send one byte every 900 ms held the whole budget until their timeout of 10 s.
 */
export const LEAST_GROWTH_BYTES = 64 * 1024
const STALLED_MS = 1000

/** `countedBytes` were held at `countedAtMs`, when the body had last grown by `LEAST_GROWTH_BYTES`. */
type Holder = { bytes: number; countedBytes: number; countedAtMs: number; readonly giveUp: () => void }

/** Bounds the memory of bodies whose signature is not verified yet, by the bytes that are held of them. */
export class BodyBudget {
  readonly #holders = new Map<IncomingMessage, Holder>()
  #takenBytes = 0
  #soughtAtMs = Number.NEGATIVE_INFINITY

  /**
   * Whether a request may hold so many bytes from now on; they are taken until `release`.
   * `giveUp` is called when it has to make room: it must let go of them.
   */
  admits(request: IncomingMessage, bytes: number, giveUp: () => void): boolean {
    if (bytes <= SMALL_BYTES) return true
    const holder = this.#holders.get(request)
    const more = bytes - (holder?.bytes ?? 0)
    // One at least, also where the limit of a body is above the budget.
    const others = this.#takenBytes - (holder?.bytes ?? 0)
    if (others > 0 && this.#takenBytes + more > BUDGET_BYTES) this.#makeRoom(request)
    if (others > 0 && this.#takenBytes + more > BUDGET_BYTES) return false
    this.#takenBytes += more
    if (holder === undefined) {
      this.#holders.set(request, { bytes, countedBytes: bytes, countedAtMs: performance.now(), giveUp })
      return true
    }
    holder.bytes = bytes
    if (bytes - holder.countedBytes < LEAST_GROWTH_BYTES) return true
    holder.countedBytes = bytes
    holder.countedAtMs = performance.now()
    return true
  }

  /** To be called when a request is answered, or will never be. */
  release(request: IncomingMessage): void {
    this.#takenBytes -= this.#holders.get(request)?.bytes ?? 0
    this.#holders.delete(request)
  }

  #makeRoom(forRequest: IncomingMessage): void {
    const nowMs = performance.now()
    if (nowMs - this.#soughtAtMs < STALLED_MS / 10) return
    this.#soughtAtMs = nowMs
    for (const [request, { countedAtMs, giveUp }] of this.#holders) {
      if (request === forRequest || request.complete || nowMs - countedAtMs < STALLED_MS) continue
      this.release(request)
      giveUp()
    }
  }
}

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

const LOOK_EVERY_MS = 5000
/** What may have gathered since the last collection. */
const GATHERED_BYTES = 64 * 1024 * 1024
/** A collection stops the process for some 50 ms, so that it waits for less work than this share of the time. */
const QUIET = 0.5

/** V8 has no public call for a collection: the flag makes a `gc` in contexts that are made after it. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  return collect
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/**
 * Gives memory back after a burst. V8 collects when something is allocated: after a flood of bodies that ended, an
 * ingress kept 200 MB of garbage for as long as its usual traffic was low.
 */
async function registerMemoryRelease(app: FastifyInstance): Promise<void> {
  const collect = collector()
  let afterLastBytes = usedBytes()
  let utilization = performance.eventLoopUtilization()
  const timer = setInterval(() => {
    const before = utilization
    utilization = performance.eventLoopUtilization()
    const isQuiet = performance.eventLoopUtilization(utilization, before).utilization < QUIET
    if (!isQuiet || usedBytes() - afterLastBytes < GATHERED_BYTES) return
    collect()
    afterLastBytes = usedBytes()
  }, LOOK_EVERY_MS).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

export const memoryRelease = fastifyPlugin(registerMemoryRelease, { name: 'memory-release', fastify: '5.x' })
