import { withDeadline } from '@persona-ingest/core'

export type ReadinessOptions = {
  /** Each resolves while its dependency is usable; the keys are the names in the answer. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>
  /** How long the result of a round of checks is reused, in milliseconds. Default 1000. */
  readonly cacheMs?: number
  /** A check that takes longer counts as failed, in milliseconds. Default 2000. */
  readonly timeoutMs?: number
}

async function passes(check: () => Promise<void>, timeoutMs: number): Promise<boolean> {
  const passed = check().then(
    () => true,
    () => false,
  )
  return withDeadline(
    timeoutMs,
    () => passed,
    () => false,
  )
}

/**
 * Tells whether the process can work, and which dependencies are missing.
 *
 * Concurrent probes share one round of checks, and its result is kept for `cacheMs`: a flood of probes causes one check a
 * second.
 */
export class Readiness {
  readonly #checks: ReadinessOptions['checks']
  readonly #cacheMs: number
  readonly #timeoutMs: number
  #isShuttingDown = false
  #round: Promise<readonly string[]> | null = null
  #staleAtMs = Number.POSITIVE_INFINITY

  constructor(options: ReadinessOptions) {
    this.#checks = options.checks
    this.#cacheMs = options.cacheMs ?? 1000
    this.#timeoutMs = options.timeoutMs ?? 2000
  }

  get isShuttingDown(): boolean {
    return this.#isShuttingDown
  }

  /** From now on `draining` alone is missing, for good. */
  beginShutdown(): void {
    this.#isShuttingDown = true
  }

  /** The names of missing dependencies; empty: ready. Takes `timeoutMs` at most, never rejects. */
  async missing(): Promise<readonly string[]> {
    if (this.#isShuttingDown) return ['draining']
    if (this.#round === null || performance.now() >= this.#staleAtMs) {
      this.#staleAtMs = Number.POSITIVE_INFINITY
      this.#round = this.#ask()
    }
    return this.#round
  }

  async #ask(): Promise<readonly string[]> {
    const names = Object.keys(this.#checks)
    const passed = await Promise.all(names.map((name) => passes(this.#checks[name]!, this.#timeoutMs)))
    this.#staleAtMs = performance.now() + this.#cacheMs
    return names.filter((_, index) => passed[index] !== true)
  }
}
