import { withDeadline } from '@persona-ingest/core'

export type ReadinessOptions = {
  /** By the name that an operator reads: resolves while the thing can be used. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>
  /** How long one answer is given again without asking anew. Default 1000. */
  readonly cacheMs?: number
  /** A check that takes longer counts as failed. Default 2000. */
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
 * Tells whether the process can do its work, and what is missing where it cannot.
 *
 * Probes come from anybody who reaches the port: all of them share one round of checks, whose result is kept for
 * `cacheMs`, so that they cannot flood what stands behind.
 */
export class Readiness {
  readonly #checks: ReadinessOptions['checks']
  readonly #cacheMs: number
  readonly #timeoutMs: number
  #draining = false
  #round: Promise<readonly string[]> | null = null
  #staleAtMs = Number.POSITIVE_INFINITY

  constructor(options: ReadinessOptions) {
    this.#checks = options.checks
    this.#cacheMs = options.cacheMs ?? 1000
    this.#timeoutMs = options.timeoutMs ?? 2000
  }

  get isDraining(): boolean {
    return this.#draining
  }

  /** From now on nothing but `draining` is missing; there is no way back. */
  drain(): void {
    this.#draining = true
  }

  /** Names what is missing; empty = ready. Takes `timeoutMs` at most, never rejects. */
  async missing(): Promise<readonly string[]> {
    if (this.#draining) return ['draining']
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
