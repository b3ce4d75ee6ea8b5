import { getHeapStatistics } from 'node:v8'

/** What is fetched is text, and a buffer of the same bytes beside it. */
const HELD_SHARE = 1 / 16
const LEAST_HELD_BYTES = 8_000_000
const MOST_HELD_BYTES = 128_000_000
/** What events become when they are read and encoded. Half of the heap stays for everything else, garbage included. */
const READ_SHARE = 1 / 4

/**
 * What a worker may have in flight, by the limit of its heap in bytes. Node.js takes a limit of some 530 MB in a container of
 * 1 GiB by itself; buffers lie beside the heap.
 */
export function memoryBounds(heapLimit: number = getHeapStatistics().heap_size_limit) {
  return {
    /** Bytes of jobs fetched at once. */
    maxHeldBytes: Math.round(Math.min(Math.max(heapLimit * HELD_SHARE, LEAST_HELD_BYTES), MOST_HELD_BYTES)),
    /** Bytes of heap that the events read at once may take, as {@link heapBytesOf} estimates. */
    readBudget: new ByteBudget(Math.round(heapLimit * READ_SHARE)),
  }
}

/** Measured: text takes 2 to 4 bytes for each of its own until it is sent. */
const PER_BYTE = 4
/** Measured: 55 bytes for an empty object, 150 to 250 for a member of a small object in `included`, its row counted in. */
const PER_VALUE = 200
const OPENING_BRACE = 0x7b
const OPENING_BRACKET = 0x5b
const COMMA = 0x2c

/**
 * The heap that a body takes once it is read and encoded, estimated before it is read: some 35 times its size where it is
 * made of small objects, 4 times where it is text.
 */
export function heapBytesOf(body: Uint8Array): number {
  let values = 0
  // By index: half the time of an iterator, 4 to 7 microseconds for a usual body.
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at]
    if (byte === COMMA || byte === OPENING_BRACE || byte === OPENING_BRACKET) values += 1
  }
  return body.length * PER_BYTE + values * PER_VALUE
}

/** Lets as much work begin as fits into a number of bytes, in the order of its asking. */
export class ByteBudget {
  readonly limit: number
  #taken = 0
  readonly #waiting: { readonly bytes: number; readonly begin: () => void }[] = []

  constructor(limit: number) {
    this.limit = limit
  }

  taken(): number {
    return this.#taken
  }

  /** Resolves when the bytes are ours; what it resolves to gives them back. More than there is, is had alone. */
  async take(bytes: number): Promise<() => void> {
    if (this.#waiting.length > 0 || !this.#fits(bytes))
      await new Promise<void>((begin) => this.#waiting.push({ bytes, begin }))
    else this.#taken += bytes
    return () => this.#giveBack(bytes)
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.limit
  }

  #giveBack(bytes: number): void {
    this.#taken -= bytes
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#taken += next.bytes
      next.begin()
    }
  }
}
