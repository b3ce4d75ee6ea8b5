import type { IncomingMessage } from 'node:http'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { IngressError } from '../http/errors.ts'
import { BoundedRequest } from '../http/node-http-quirks.ts'

/** Smaller bodies are always read: with all connections that may be open, they take 128 MiB. */
const SMALL_BYTES = 32 * 1024

/**
 * Memory for larger bodies: a body must be in memory whole before its signature can be verified.
 * Without a budget, 400 anonymous connections with 1.9 MB each took 900 MB, 1,000 took 2.1 GB; the container has 512 MB.
 */
export const BUDGET_BYTES = 128 * 1024 * 1024

/**
 * A body that grew by less than this in a second can be evicted. One byte must not be enough: 64 connections that sent a
 * byte every 900 ms occupied the whole budget until their timeout of 10 s.
 */
export const LEAST_GROWTH_BYTES = 64 * 1024
const STALLED_MS = 1000

/** `countedBytes` were there at `countedAtMs`, when the body had last grown by `LEAST_GROWTH_BYTES`. */
type Share = { bytes: number; countedBytes: number; countedAtMs: number; readonly evict: () => void }

/** Bounds the memory of bodies that are not verified yet, by the bytes that are there. */
export class BodyBudget {
  readonly #shares = new Map<IncomingMessage, Share>()
  #takenBytes = 0
  #evictedAtMs = Number.NEGATIVE_INFINITY

  /**
   * Whether a request may keep so many bytes of its body in memory, until `release`.
   * `evict` is called when other bodies need the memory: it must free the bytes.
   */
  admits(request: IncomingMessage, bytes: number, evict: () => void): boolean {
    if (bytes <= SMALL_BYTES) return true
    const share = this.#shares.get(request)
    const more = bytes - (share?.bytes ?? 0)
    // One body is admitted even where the limit of a body is above the budget.
    const others = this.#takenBytes - (share?.bytes ?? 0)
    if (others > 0 && this.#takenBytes + more > BUDGET_BYTES) this.#evictStalled(request)
    if (others > 0 && this.#takenBytes + more > BUDGET_BYTES) return false
    this.#takenBytes += more
    if (share === undefined) {
      this.#shares.set(request, { bytes, countedBytes: bytes, countedAtMs: performance.now(), evict })
      return true
    }
    share.bytes = bytes
    if (bytes - share.countedBytes < LEAST_GROWTH_BYTES) return true
    share.countedBytes = bytes
    share.countedAtMs = performance.now()
    return true
  }

  /** Called when a request was answered, or its connection is closed. */
  release(request: IncomingMessage): void {
    this.#takenBytes -= this.#shares.get(request)?.bytes ?? 0
    this.#shares.delete(request)
  }

  #evictStalled(forRequest: IncomingMessage): void {
    const nowMs = performance.now()
    if (nowMs - this.#evictedAtMs < STALLED_MS / 10) return
    this.#evictedAtMs = nowMs
    for (const [request, { countedAtMs, evict }] of this.#shares) {
      if (request === forRequest || request.complete || nowMs - countedAtMs < STALLED_MS) continue
      this.release(request)
      evict()
    }
  }
}

/** First memory of a body of several pieces. Only written pages of it are resident. */
const FIRST_BYTES = 65_536

/**
 * The received part of one body. Pieces are copied together: a slow body would be thousands of objects.
 * Resizable memory grows in place, and returns to the system at once instead of at the next garbage collection.
 */
class PartialBody {
  readonly #maxBytes: number
  #only: Buffer | null = null
  #memory: ArrayBuffer | null = null
  #bytes: Uint8Array = new Uint8Array(0)
  length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** `maxBytes` in all, at most. */
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

  /** Returns the whole body and frees the memory. */
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
    const size = Math.min(this.#maxBytes, Math.max(bytes, 2 * known, FIRST_BYTES))
    if (this.#memory === null) {
      this.#memory = new ArrayBuffer(size, { maxByteLength: this.#maxBytes })
      this.#bytes = new Uint8Array(this.#memory)
    } else this.#memory.resize(size)
  }
}

type Done = (error: Error | null, body?: Buffer) => void

/**
 * Returns a content type parser of Fastify that reads the raw body. `budget` is charged for received bytes, not for the
 * announced length: chunked bodies announce none.
 */
export function bodyReader({ limitBytes, budget }: { limitBytes: number; budget: BodyBudget }) {
  return (request: FastifyRequest, payload: IncomingMessage, done: Done): void => {
    const announced = request.headers['content-length']
    if (announced !== undefined && Number(announced) > limitBytes) {
      done(new IngressError('BODY_TOO_LARGE'))
      return
    }
    const maxBytes = announced === undefined ? limitBytes : Number(announced)
    const partial = new PartialBody(maxBytes)
    const end = (error: Error | null, body?: Buffer) => {
      payload.removeListener('data', onData)
      payload.removeListener('end', onEnd)
      payload.removeListener('error', end)
      partial.free()
      if (error !== null && payload instanceof BoundedRequest) payload.discard()
      done(error, body)
    }
    const evict = () => end(new IngressError('BODY_BUDGET_EXCEEDED'))
    function onData(piece: Buffer): void {
      if (partial.length + piece.length > maxBytes) {
        end(new IngressError(announced === undefined ? 'BODY_TOO_LARGE' : 'REQUEST_INCOMPLETE'))
        return
      }
      partial.add(piece)
      if (!budget.admits(request.raw, partial.length, evict)) evict()
    }
    function onEnd(): void {
      if (announced !== undefined && partial.length !== Number(announced)) end(new IngressError('REQUEST_INCOMPLETE'))
      else end(null, partial.take())
    }
    payload.on('data', onData)
    payload.on('end', onEnd)
    payload.on('error', end)
    payload.resume()
  }
}

const CHECK_EVERY_MS = 5000
/** Possible garbage: growth of the used memory since the last collection. */
const GROWTH_BYTES = 64 * 1024 * 1024
/** A collection stops the process for some 50 ms: it waits until the event loop is busy for less than this share. */
const QUIET_UTILIZATION = 0.5

/** V8 has no public call for a collection: the flag adds a `gc` to contexts that are created after it. */
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

async function registerMemoryRelease(app: FastifyInstance): Promise<void> {
  const collect = collector()
  let afterLastBytes = usedBytes()
  let utilization = performance.eventLoopUtilization()
  const timer = setInterval(() => {
    const before = utilization
    utilization = performance.eventLoopUtilization()
    const isQuiet = performance.eventLoopUtilization(utilization, before).utilization < QUIET_UTILIZATION
    if (!isQuiet || usedBytes() - afterLastBytes < GROWTH_BYTES) return
    collect()
    afterLastBytes = usedBytes()
  }, CHECK_EVERY_MS).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

/**
 * Returns the memory of bodies to the system after a burst. V8 collects on allocation: after a flood of bodies an ingress
 * kept 200 MB of garbage for as long as its traffic was low.
 */
export const memoryRelease = fastifyPlugin(registerMemoryRelease, { name: 'memory-release', fastify: '5.x' })
