import { getHeapStatistics } from 'node:v8'
import { Batcher } from '@persona-ingest/core'
import { readEvent, type PersonaEvent } from '@persona-ingest/persona'
import type { StoreCause } from '@persona-ingest/database'
import type { InFlightDelivery } from '@persona-ingest/queue'
import { inSpan } from '@persona-ingest/service'
import type { WorkerMetrics } from './metrics.ts'
import type { Outage } from './outage.ts'
import { storeBatch, type EventStore, type StoreVerdict } from './store-batch.ts'

/** Two statements in flight keep PostgreSQL busy while the next batch is read and encoded. */
const ORDINARY_IN_FLIGHT = 2
/** More would only wait for each other in the database: a write that redacts runs alone. */
const REDACTIONS_IN_FLIGHT = 1
/** Dead letters that an operator replays. */
const REPLAYS_IN_FLIGHT = 1
const MAX_BATCH_EVENTS = 200
const MAX_BATCH_CHARACTERS = 4_000_000
/** Each object is a row or more. A usual batch has 1,000 to 2,000 objects; one statement of 24,000 takes seconds. */
const MAX_BATCH_OBJECTS = 4_000

/** Batches that the worker may have at the database at once. */
export const BATCHES_IN_FLIGHT = ORDINARY_IN_FLIGHT + REDACTIONS_IN_FLIGHT + REPLAYS_IN_FLIGHT

/** What became of a delivery that was to be read and stored; `readError` where its body could not be read. */
export type Committed =
  { readonly event: PersonaEvent; readonly verdict: StoreVerdict } | { readonly readError: unknown }

export type Commit = (delivery: Extract<InFlightDelivery, { kind: 'event' }>) => Promise<Committed>

type CommitContext = { readonly store: EventStore; readonly outage: Outage; readonly metrics: WorkerMetrics }

/**
 * Redactions block every other write. After a batch of them the next one waits four times as long as the batch took, one
 * second at most. A redaction that comes alone waits for nothing.
 */
const pauseAfterRedactions = (tookMs: number): number => Math.min(4 * tookMs, 1_000)

/** The second delivery of an event in one batch changes nothing. */
function repeatedVerdict(verdict: StoreVerdict): StoreVerdict {
  return verdict.verdict === 'stored' ? { ...verdict, outcome: 'duplicate' } : verdict
}

/** One lane of batches, with limits of its own on what is in flight. */
function createLane(
  { metrics, ...context }: CommitContext,
  { cause, ...options }: { cause: StoreCause; maxInFlight: number; restMs?: (tookMs: number) => number },
): Batcher<PersonaEvent, StoreVerdict> {
  return new Batcher({
    ...options,
    maxItems: MAX_BATCH_EVENTS,
    limits: [
      { sizeOf: ({ payloadText }) => payloadText.length, max: MAX_BATCH_CHARACTERS },
      { sizeOf: ({ included, references }) => 1 + included.length + references.length, max: MAX_BATCH_OBJECTS },
    ],
    keyOf: ({ id }) => id,
    repeatedResult: repeatedVerdict,
    process: async (events, report) => {
      const endTimer = metrics.batchTime.startTimer()
      await storeBatch({ ...context, cause }, events, report)
      endTimer()
      metrics.batchSize.observe(events.length)
    },
  })
}

/**
 * Makes the function that reads a delivery and stores its event in one transaction with other events in flight.
 *
 * Redactions have batches of their own, and so have replays, since the change feed tells the cause of a batch. A write that redacts runs alone (ADR 2), and would hold up all events of a common
 * batch. The order of writes does not matter, so that neither lane waits for the other.
 */
export function createCommit(context: CommitContext & { readonly memory: MemoryBudget }): Commit {
  const ordinary = createLane(context, { cause: 'event', maxInFlight: ORDINARY_IN_FLIGHT })
  const redactions = createLane(context, {
    cause: 'event',
    maxInFlight: REDACTIONS_IN_FLIGHT,
    restMs: pauseAfterRedactions,
  })
  const replays = createLane(context, { cause: 'replay', maxInFlight: REPLAYS_IN_FLIGHT })
  const laneOf = (event: PersonaEvent, isReplayed: boolean) => {
    if (isReplayed) return replays
    return event.redactedIds.length > 0 ? redactions : ordinary
  }
  const store = async (event: PersonaEvent, isReplayed: boolean): Promise<StoreVerdict> =>
    inSpan('commit batch', {}, async (note) => {
      const verdict = await laneOf(event, isReplayed).add(event)
      if (verdict.verdict === 'stored') note({ batchSize: verdict.batchSize, outcome: verdict.outcome })
      else note({ verdict: verdict.verdict })
      return verdict
    })
  return async (delivery) => {
    const release = await context.memory.take(heapBytesOf(delivery.body))
    try {
      const read = tryReading(delivery)
      return 'readError' in read ? read : { event: read, verdict: await store(read, delivery.isReplayed === true) }
    } finally {
      release()
    }
  }
}

function tryReading(delivery: Parameters<Commit>[0]): PersonaEvent | { readonly readError: unknown } {
  try {
    return readEvent(delivery)
  } catch (error) {
    return { readError: error }
  }
}

/** A job in flight is a text, and a buffer of the same bytes. */
const IN_FLIGHT_SHARE = 1 / 16
const LEAST_IN_FLIGHT_BYTES = 8_000_000
const MOST_IN_FLIGHT_BYTES = 128_000_000
/** For events that are read and encoded. Half of the heap stays for everything else, garbage included. */
const READ_SHARE = 1 / 4

/**
 * The memory that a worker may use, by the limit of its heap in bytes. Node.js sets a limit of some 530 MB in a container
 * of 1 GiB by itself; buffers lie outside of the heap.
 */
export function memoryBounds(heapLimit: number = getHeapStatistics().heap_size_limit) {
  const inFlightBytes = Math.max(heapLimit * IN_FLIGHT_SHARE, LEAST_IN_FLIGHT_BYTES)
  return {
    /** Bytes of the jobs in flight. */
    maxInFlightBytes: Math.round(Math.min(inFlightBytes, MOST_IN_FLIGHT_BYTES)),
    /** Bytes of heap for events that are read and not stored yet, as {@link heapBytesOf} estimates them. */
    memory: new MemoryBudget(Math.round(heapLimit * READ_SHARE)),
  }
}

/** Measured: text takes 2 to 4 bytes for each of its own until it is sent. */
const PER_BYTE = 4
/** Measured: 55 bytes for an empty object, 150 to 250 for a member of a small object in `included`, with its row. */
const PER_VALUE = 200
const OPENING_BRACE = 0x7b
const OPENING_BRACKET = 0x5b
const COMMA = 0x2c

/**
 * Estimates the heap that a body takes once it is read and encoded: some 35 times its size where it consists of small
 * objects, 4 times where it is text.
 */
export function heapBytesOf(body: Uint8Array): number {
  let values = 0
  // An index takes half the time of an iterator: 4 to 7 microseconds for a usual body.
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at]
    if (byte === COMMA || byte === OPENING_BRACE || byte === OPENING_BRACKET) values += 1
  }
  return body.length * PER_BYTE + values * PER_VALUE
}

/** Lets work begin while the bytes that it needs fit into the limit, in the order of the requests. */
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

  /** Resolves when the bytes are reserved, to the function that releases them. More than the limit is granted alone. */
  async take(bytes: number): Promise<() => void> {
    if (this.#waiting.length > 0 || !this.#fits(bytes))
      await new Promise<void>((begin) => this.#waiting.push({ bytes, begin }))
    else this.#taken += bytes
    return () => this.#release(bytes)
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.limit
  }

  #release(bytes: number): void {
    this.#taken -= bytes
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#taken += next.bytes
      next.begin()
    }
  }
}
