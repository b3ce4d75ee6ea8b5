import type { DeliveryResult } from './delivery.ts'

/** The result of a simulation. */
export type SimulationReport = {
  /** Ids of all events sent at least once, in the order of their first delivery. */
  readonly eventIds: readonly string[]
  /** Ids of the events that were acknowledged (200, 201, 202 or 204) at least once. */
  readonly acknowledgedEventIds: readonly string[]
  /** Ids of the events that were never acknowledged in all eight attempts. */
  readonly gaveUpEventIds: readonly string[]
  /** Deliveries begun; more than events where there are duplicates. */
  readonly deliveries: number
  /** Requests made; more than deliveries where there were retries. */
  readonly attempts: number
  readonly retries: number
  /** Requests by answer: a status, `timeout`, or the code of a connection error. */
  readonly answers: Readonly<Record<string, number>>
  /** Requests answered as quarantined; expected to be 0. */
  readonly quarantined: number
  /** Latency of the acknowledging answers in ms; null without any. */
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number } | null
  readonly durationMs: number
  /** Present where nothing was acknowledged and the next retry was too far away. */
  readonly endedWithoutSuccess?: true
}

/** The counts of a simulation that runs. */
export class SimulationTally {
  readonly #startedAt = performance.now()
  readonly #sent = new Set<string>()
  readonly #acknowledged = new Set<string>()
  readonly #gaveUp = new Set<string>()
  readonly #answers = new Map<string, number>()
  readonly #latenciesMs: number[] = []
  #attempts = 0
  #retries = 0
  #quarantined = 0

  get acknowledgedEvents(): number {
    return this.#acknowledged.size
  }

  get gaveUpEvents(): number {
    return this.#gaveUp.size
  }

  count(eventId: string, attempt: number, result: DeliveryResult): void {
    const answer = String(result.answer)
    this.#sent.add(eventId)
    this.#attempts += 1
    if (attempt > 1) this.#retries += 1
    this.#answers.set(answer, (this.#answers.get(answer) ?? 0) + 1)
    if (!result.isAcknowledged) return
    this.#acknowledged.add(eventId)
    this.#latenciesMs.push(result.latencyMs)
    if (result.text.includes('"quarantined"')) this.#quarantined += 1
  }

  giveUp(eventId: string): void {
    this.#gaveUp.add(eventId)
  }

  report(): SimulationReport {
    return {
      eventIds: [...this.#sent],
      acknowledgedEventIds: [...this.#acknowledged],
      gaveUpEventIds: [...this.#gaveUp].filter((eventId) => !this.#acknowledged.has(eventId)),
      deliveries: this.#attempts - this.#retries,
      attempts: this.#attempts,
      retries: this.#retries,
      answers: Object.fromEntries(this.#answers),
      quarantined: this.#quarantined,
      latencyMs: this.#latency(),
      durationMs: performance.now() - this.#startedAt,
    }
  }

  #latency(): SimulationReport['latencyMs'] {
    const sorted = Float64Array.from(this.#latenciesMs).toSorted()
    if (sorted.length === 0) return null
    const percentile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return { p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99), max: sorted.at(-1) ?? 0 }
  }
}
