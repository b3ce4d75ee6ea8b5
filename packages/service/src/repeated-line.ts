/**
 * Keeps a line that anybody can cause, or that an outage causes a hundred times a second, from filling the log: written
 * at once the first time, then every `everyMs` at most, with the number of times since. One count per key.
 */
export class RepeatedLine<K extends string> {
  readonly #everyMs: number
  readonly #write: (key: K, count: number) => void
  readonly #seen = new Map<K, { writtenAtMs: number; count: number }>()

  constructor(options: { everyMs: number; write: (key: K, count: number) => void }) {
    this.#everyMs = options.everyMs
    this.#write = options.write
  }

  note(key: K): void {
    const nowMs = performance.now()
    const seen = this.#seen.get(key) ?? { writtenAtMs: Number.NEGATIVE_INFINITY, count: 0 }
    this.#seen.set(key, seen)
    seen.count += 1
    if (nowMs - seen.writtenAtMs < this.#everyMs) return
    this.#write(key, seen.count)
    seen.writtenAtMs = nowMs
    seen.count = 0
  }
}
