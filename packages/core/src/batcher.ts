import { DeadlineExceededError, type Deadline } from './deadline.ts'

/** A bound on a batch besides its number of items: bytes, objects, or anything that adds up. */
export type BatchLimit<Item> = { readonly sizeOf: (item: Item) => number; readonly max: number }

export type BatcherOptions<Item, Result> = {
  /** Items that have the same key stand once in a batch; each caller gets the result. */
  readonly keyOf: (item: Item) => string
  /** Processes a batch and reports the result of each key as soon as it is known. A rejection rejects all other keys. */
  readonly process: (items: readonly Item[], report: (key: string, result: Result) => void) => Promise<void>
  /** Batches in flight at once. */
  readonly maxInFlight: number
  readonly maxItems: number
  /** An item that alone exceeds a limit forms a batch of its own. */
  readonly limits: readonly BatchLimit<Item>[]
  /** The result of the second and later callers of a key. Default: the same result. */
  readonly repeatedResult?: (result: Result) => Result
  /** Pause in milliseconds before the next batch may follow one that took `tookMs`. Default: none. */
  readonly restMs?: ((tookMs: number) => number) | undefined
}

type Waiting<Item, Result> = {
  readonly item: Item
  readonly key: string
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

function groupedByKey<Item, Result>(batch: readonly Waiting<Item, Result>[]) {
  const grouped = new Map<string, Waiting<Item, Result>[]>()
  for (const waiting of batch) {
    const group = grouped.get(waiting.key)
    if (group === undefined) grouped.set(waiting.key, [waiting])
    else group.push(waiting)
  }
  return grouped
}

/**
 * Lets items that arrive while a batch is in flight share the next one.
 *
 * An idle batcher processes an item at once, alone. Batches grow with the load, and no item waits for a timer.
 */
export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>
  #waiting: Waiting<Item, Result>[] = []
  #inFlight = 0
  #isScheduled = false

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options
  }

  /**
   * Resolves with the result of the item. Rejects with a `DeadlineExceededError` where `deadline` is exceeded while the item
   * waits for its batch; the item is then never processed.
   */
  add(item: Item, deadline?: Deadline): Promise<Result> {
    if (deadline?.isExceeded === true) return Promise.reject(new DeadlineExceededError())
    return new Promise((resolve, reject) => {
      const waiting = { item, key: this.#options.keyOf(item), resolve, reject }
      this.#waiting.push(waiting)
      deadline?.onExceeded(() => this.#remove(waiting))
      this.#schedule()
    })
  }

  #remove(waiting: Waiting<Item, Result>): void {
    const index = this.#waiting.indexOf(waiting)
    if (index === -1) return
    this.#waiting.splice(index, 1)
    waiting.reject(new DeadlineExceededError())
  }

  #schedule(): void {
    if (this.#isScheduled || this.#inFlight >= this.#options.maxInFlight) return
    this.#isScheduled = true
    // Several items arrive in one pass of the event loop, so the batch is cut after the pass.
    setImmediate(() => {
      this.#isScheduled = false
      while (this.#waiting.length > 0 && this.#inFlight < this.#options.maxInFlight) void this.#process(this.#cut())
    })
  }

  #cut(): readonly Waiting<Item, Result>[] {
    const { maxItems, limits } = this.#options
    const sums = limits.map(() => 0)
    let size = 0
    for (const { item } of this.#waiting) {
      let isHeavy = false
      limits.forEach(({ sizeOf, max }, index) => {
        const sum = (sums[index] ?? 0) + sizeOf(item)
        sums[index] = sum
        isHeavy ||= sum > max
      })
      if (size >= maxItems || (size > 0 && isHeavy)) break
      size += 1
    }
    return this.#waiting.splice(0, size)
  }

  async #process(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    const { process, repeatedResult = (result) => result, restMs } = this.#options
    this.#inFlight += 1
    const startedAtMs = performance.now()
    try {
      const byKey = groupedByKey(batch)
      const items = [...byKey.values()].flatMap(([first]) => (first === undefined ? [] : [first.item]))
      await process(items, (key, result) => {
        const [first, ...repeated] = byKey.get(key) ?? []
        first?.resolve(result)
        for (const { resolve } of repeated) resolve(repeatedResult(result))
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      const pauseMs = restMs?.(performance.now() - startedAtMs) ?? 0
      if (pauseMs > 0) setTimeout(() => this.#leave(), pauseMs)
      else this.#leave()
    }
  }

  #leave(): void {
    this.#inFlight -= 1
    this.#schedule()
  }
}
