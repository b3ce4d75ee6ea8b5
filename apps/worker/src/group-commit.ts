import type { PersonaEvent } from '@persona-ingest/persona'
import type { StoreVerdict } from './event-store.ts'
import type { Tell } from './store-batch.ts'

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
