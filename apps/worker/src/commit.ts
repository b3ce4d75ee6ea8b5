import type { PersonaEvent } from '@persona-ingest/persona'
import { inSpan } from '@persona-ingest/service'
import { type EventStore, storeBatch, type StoreVerdict, type Tell } from './store-batch.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { Outage } from './outage.ts'
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
    readBudget: new MemoryBudget(Math.round(heapLimit * READ_SHARE)),
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
export class MemoryBudget {
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

export type GroupCommitOptions = {
  /** Tells every event's verdict, each as soon as it is known; resolves after the last one. */
  readonly storeBatch: (events: readonly PersonaEvent[], tell: Tell) => Promise<void>
  /** Batches in flight at once. */
  readonly maxInFlight: number
  readonly maxBatchSize: number
  /** How long the next batch waits after one that took so long, both in ms; default: not at all. */
  readonly restAfter?: ((tookMs: number) => number) | undefined
  /** Of payload text, per batch. */
  readonly maxBatchCharacters: number
  /** Objects that stand in events or are named by them, per batch. An event above either goes alone. */
  readonly maxBatchObjects: number
}

type Waiting = {
  readonly event: PersonaEvent
  readonly resolve: (verdict: StoreVerdict) => void
  readonly reject: (error: unknown) => void
}

/** Of two deliveries of an event in one batch, the first stored it. */
function asRepeated(verdict: StoreVerdict): StoreVerdict {
  return verdict.verdict === 'stored' ? { ...verdict, outcome: 'duplicate' } : verdict
}

function groupedByEvent(batch: readonly Waiting[]): ReadonlyMap<string, readonly [Waiting, ...Waiting[]]> {
  const grouped = new Map<string, [Waiting, ...Waiting[]]>()
  for (const waiting of batch) {
    const known = grouped.get(waiting.event.id)
    if (known === undefined) grouped.set(waiting.event.id, [waiting])
    else known.push(waiting)
  }
  return grouped
}

/**
 * Lets events that are held at the same time share a transaction.
 *
 * An idle worker writes an event at once, alone. While `maxInFlight` batches are on their way, what arrives gathers
 * into the next one: batches grow with the load by themselves, and no event waits for a timer.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions
  #waiting: Waiting[] = []
  #inFlight = 0
  #isScheduled = false

  constructor(options: GroupCommitOptions) {
    this.#options = options
  }

  /** Resolves when it is known what became of the event. */
  add(event: PersonaEvent): Promise<StoreVerdict> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled || this.#inFlight >= this.#options.maxInFlight) return
    this.#isScheduled = true
    // Jobs arrive several in one pass of the event loop: let the pass end before the batch is cut.
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#inFlight < this.#options.maxInFlight) void this.#commit(this.#cutBatch())
  }

  #makeRoom(): void {
    this.#inFlight -= 1
    this.#schedule()
  }

  #cutBatch(): readonly Waiting[] {
    const { maxBatchSize, maxBatchCharacters, maxBatchObjects } = this.#options
    let characters = 0
    let objects = 0
    let size = 0
    for (const { event } of this.#waiting) {
      characters += event.payloadText.length
      objects += 1 + event.included.length + event.references.length
      const isHeavy = characters > maxBatchCharacters || objects > maxBatchObjects
      if (size >= maxBatchSize || (size > 0 && isHeavy)) break
      size += 1
    }
    return this.#waiting.splice(0, size)
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    this.#inFlight += 1
    const startedAtMs = performance.now()
    try {
      const byEvent = groupedByEvent(batch)
      const events = [...byEvent.values()].map(([first]) => first.event)
      // At once: what is stored must not wait for those of its batch that are tried again.
      await this.#options.storeBatch(events, (eventId, verdict) => {
        const [first, ...repeated] = byEvent.get(eventId) ?? []
        first?.resolve(verdict)
        for (const { resolve } of repeated) resolve(asRepeated(verdict))
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      const restMs = this.#options.restAfter?.(performance.now() - startedAtMs) ?? 0
      if (restMs > 0) setTimeout(() => this.#makeRoom(), restMs)
      else this.#makeRoom()
    }
  }
}

/** Two statements in flight keep PostgreSQL busy while the next batch is read and encoded. */
const ORDINARY_IN_FLIGHT = 2
/** Redactions wait for each other in the database anyway. */
const REDACTIONS_IN_FLIGHT = 1
/**
 * Nobody else writes while redactions do. So that one after the other does not take all the time there is, a batch of them
 * is followed by a rest of four times as long as it took, a second at most, while the next ones gather. One that comes
 * alone waits for nothing.
 */
const restOfRedactions = (tookMs: number): number => Math.min(4 * tookMs, 1_000)
const MAX_BATCH_SIZE = 200
const MAX_BATCH_CHARACTERS = 4_000_000
/** Each is a row or more; a usual batch has 1,000 to 2,000. A statement of 24,000 takes seconds, so that it goes alone. */
const MAX_BATCH_OBJECTS = 4_000

/** Batches that may be at the database at once. */
export const BATCHES_IN_FLIGHT = ORDINARY_IN_FLIGHT + REDACTIONS_IN_FLIGHT

/**
 * Makes the function that stores an event with those that are held at the same time.
 *
 * Redactions go in batches of their own: a write that redacts runs alone (ADR 2), and in a common batch all others would
 * with it. Order does not matter, so that neither has to wait for the other.
 */
export function createCommit(options: {
  readonly store: EventStore
  readonly outage: Outage
  readonly metrics: WorkerMetrics
}): (event: PersonaEvent) => Promise<StoreVerdict> {
  const { metrics, ...context } = options
  const lane = (maxInFlight: number, restAfter?: (tookMs: number) => number): GroupCommit =>
    new GroupCommit({
      maxInFlight,
      restAfter,
      maxBatchSize: MAX_BATCH_SIZE,
      maxBatchCharacters: MAX_BATCH_CHARACTERS,
      maxBatchObjects: MAX_BATCH_OBJECTS,
      storeBatch: async (events, tell) => {
        const endTimer = metrics.batchTime.startTimer()
        await storeBatch(context, events, tell)
        endTimer()
        metrics.batchSize.observe(events.length)
      },
    })
  const ordinary = lane(ORDINARY_IN_FLIGHT)
  const redactions = lane(REDACTIONS_IN_FLIGHT, restOfRedactions)
  const laneOf = (event: PersonaEvent): GroupCommit => (event.redactedIds.length > 0 ? redactions : ordinary)
  return async (event) =>
    inSpan('commit batch', {}, async (note) => {
      const verdict = await laneOf(event).add(event)
      note(
        verdict.verdict === 'stored'
          ? { batchSize: verdict.batchSize, outcome: verdict.outcome }
          : { verdict: verdict.verdict },
      )
      return verdict
    })
}
