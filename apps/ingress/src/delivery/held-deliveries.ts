/** Counts the deliveries between the gate and their answer: what a drain has to wait for. */
export class HeldDeliveries {
  #count = 0
  readonly #waiting = new Set<() => void>()

  get count(): number {
    return this.#count
  }

  /** Runs one delivery and counts it as held for as long. */
  async hold<T>(run: () => Promise<T>): Promise<T> {
    this.#count += 1
    try {
      return await run()
    } finally {
      this.#count -= 1
      if (this.#count === 0) this.#release()
    }
  }

  /** Resolves once none is held. */
  async none(): Promise<void> {
    if (this.#count === 0) return
    await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  #release(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
