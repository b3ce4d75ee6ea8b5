import { signatureVerification, type SignatureInput, type SignatureVerdict } from '@persona-ingest/persona'
import type { Gauge, Histogram, Logger } from '@persona-ingest/service'

/** Hashed in one pass of the event loop: takes less than a millisecond. */
const BYTES_PER_PASS = 512 * 1024

/** The cost of a digest besides its body, as a number of hashed bytes. */
const DIGEST_BYTES = 4096

type Waiting = {
  readonly steps: ReturnType<typeof signatureVerification>
  readonly digestBytes: number
  /** Upper bound of the bytes that remain to be hashed. */
  leftBytes: number
  readonly resolve: (verdict: SignatureVerdict) => void
}

function ended(steps: ReturnType<typeof signatureVerification>): SignatureVerdict {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/**
 * Verifies signatures in turns, so that large bodies do not block the event loop: half a megabyte or one digest per pass,
 * the cheapest verification first. A digest of 2 MB takes 1 ms.
 */
export class SignatureQueue {
  readonly #waiting = new Set<Waiting>()

  /** As `verifySignature`; synchronous for small bodies. */
  verify(input: SignatureInput): SignatureVerdict | Promise<SignatureVerdict> {
    const steps = signatureVerification(input)
    const first = steps.next()
    if (first.done === true) return first.value
    const digestBytes = input.body.length + DIGEST_BYTES
    const leftBytes = first.value * digestBytes
    if (leftBytes <= BYTES_PER_PASS) return ended(steps)
    return new Promise((resolve) => {
      this.#waiting.add({ steps, digestBytes, leftBytes, resolve })
      if (this.#waiting.size === 1) setImmediate(() => this.#pass())
    })
  }

  #pass(): void {
    for (let hashedBytes = 0; hashedBytes < BYTES_PER_PASS && this.#waiting.size > 0;) hashedBytes += this.#step()
    if (this.#waiting.size > 0) setImmediate(() => this.#pass())
  }

  #step(): number {
    let cheapest: Waiting | undefined
    for (const one of this.#waiting) if (cheapest === undefined || one.leftBytes < cheapest.leftBytes) cheapest = one
    if (cheapest === undefined) return 0
    const { steps, digestBytes, resolve } = cheapest
    const step = steps.next()
    if (step.done === true) {
      this.#waiting.delete(cheapest)
      resolve(step.value)
    } else cheapest.leftBytes = step.value * digestBytes
    return digestBytes
  }
}

/** How many authentic signatures are kept, for how long, and how many are needed for a verdict on the clock. */
const WINDOW = 50
const KEPT_MS = 600_000
const ENOUGH = 10
/** Far above the travel time of a delivery. From 300 s behind on, every delivery is refused. */
const SUSPICIOUS_SECONDS = 60
const WARN_EVERY_MS = 600_000

type Sample = {
  readonly ageSeconds: number
  readonly isRefused: boolean
  /** Redelivered: the provider does not document whether a redelivery is signed anew, so its age is not counted. */
  readonly isRetry: boolean
  readonly observedAtMs: number
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

/**
 * Watches the skew of the local clock against the provider's `t`. Signatures that match no secret do not count: other
 * clients cannot cause the warning.
 */
export class ClockSkew {
  readonly #ages: Histogram
  readonly #skew: Gauge
  readonly #logger: Logger
  #recent: readonly Sample[] = []
  #warnedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: { ages: Histogram; skew: Gauge; logger: Logger }) {
    this.#ages = options.ages
    this.#skew = options.skew
    this.#logger = options.logger
  }

  /** Takes one verdict into account; warns, every 10 minutes at most, where the recent ones show a wrong clock. */
  observe(verdict: SignatureVerdict, { nowMs, isRetry }: { nowMs: number; isRetry: boolean }): void {
    if (!('timestampSeconds' in verdict)) return
    const ageSeconds = nowMs / 1000 - verdict.timestampSeconds
    this.#ages.observe(ageSeconds)
    // Monotonic time: the local clock, which is in question, may be set back at any moment.
    const observedAtMs = performance.now()
    const kept = this.#recent.filter((sample) => observedAtMs - sample.observedAtMs < KEPT_MS)
    this.#recent = [...kept, { ageSeconds, isRefused: !verdict.ok, isRetry, observedAtMs }].slice(-WINDOW)
    const skewSeconds = this.#skewSeconds()
    this.#skew.set(skewSeconds)
    if (observedAtMs - this.#warnedAtMs >= WARN_EVERY_MS) this.#warn(skewSeconds, observedAtMs)
  }

  /** Positive: the local clock is ahead. NaN where there are too few samples. */
  #skewSeconds(): number {
    const firstAttempts = this.#recent.filter((sample) => !sample.isRetry)
    return firstAttempts.length < ENOUGH ? Number.NaN : median(firstAttempts.map((sample) => sample.ageSeconds))
  }

  #warn(skewSeconds: number, observedAtMs: number): void {
    const signatures = this.#recent.length
    const refused = this.#recent.filter((sample) => sample.isRefused).length
    if (Math.abs(skewSeconds) > SUSPICIOUS_SECONDS) {
      this.#logger.warn(
        { skewSeconds: Math.round(skewSeconds), refused, signatures },
        "this machine's clock is off against the provider's signatures (positive: ahead): mend its time synchronisation; deliveries are refused from 300 s behind and from SIGNATURE_TOLERANCE_SECONDS ahead",
      )
    } else if (signatures >= ENOUGH && refused * 2 > signatures) {
      this.#logger.warn(
        { refused, signatures },
        'most authentic deliveries are refused for the age of their signature: check SIGNATURE_TOLERANCE_SECONDS, then the clock',
      )
    } else return
    this.#warnedAtMs = observedAtMs
  }
}
