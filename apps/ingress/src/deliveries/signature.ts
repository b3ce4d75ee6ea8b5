import { type SignatureInput, type SignatureVerdict, signatureVerification } from '@persona-ingest/persona'

import type { Gauge, Histogram, Logger } from '@persona-ingest/service'

/** Hashed without a pause: less than a millisecond. */
const AT_ONCE_BYTES = 512 * 1024

/** What a digest costs beside its body, in bytes hashed. */
const DIGEST_BYTES = 4096

type Waiting = {
  readonly steps: ReturnType<typeof signatureVerification>
  readonly digestBytes: number
  /** Hashed at most until it is done. */
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
 * Verifies signatures so that large bodies hold nothing else up: half a megabyte or one digest in a pass of the event
 * loop, the cheapest verification first. A digest of 2 MB takes 1 ms.
 */
export class SignatureQueue {
  readonly #waiting = new Set<Waiting>()

  /** As `verifySignature`, for small bodies at once. */
  verify(input: SignatureInput): SignatureVerdict | Promise<SignatureVerdict> {
    const steps = signatureVerification(input)
    const first = steps.next()
    if (first.done === true) return first.value
    const digestBytes = input.body.length + DIGEST_BYTES
    const leftBytes = first.value * digestBytes
    if (leftBytes <= AT_ONCE_BYTES) return ended(steps)
    return new Promise((resolve) => {
      this.#waiting.add({ steps, digestBytes, leftBytes, resolve })
      if (this.#waiting.size === 1) setImmediate(() => this.#turn())
    })
  }

  #turn(): void {
    for (let hashedBytes = 0; hashedBytes < AT_ONCE_BYTES && this.#waiting.size > 0;) hashedBytes += this.#step()
    if (this.#waiting.size > 0) setImmediate(() => this.#turn())
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

/** How many authentic signatures are remembered, for how long, and how many are needed before anything is said. */
const WINDOW = 50
const REMEMBERED_MS = 600_000
const ENOUGH = 10
/** Far above any way of a delivery, and well below the 300 s by which our clock may be behind before all is refused. */
const SUSPICIOUS_SECONDS = 60
const WARN_EVERY_MS = 600_000

type Sample = {
  readonly ageSeconds: number
  readonly isRefused: boolean
  /** Sent again by the provider: whether such a one is signed anew is not documented, so its age tells nothing. */
  readonly isRetry: boolean
  readonly observedAtMs: number
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

/**
 * Watches how far our own clock is off, against the provider's `t`. Only signatures that match a secret count, so that
 * nobody else can set off the warning.
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

  /** Takes one verdict in; warns, every 10 minutes at most, while the recent ones say that something is wrong. */
  observe(verdict: SignatureVerdict, { nowMs, isRetry }: { nowMs: number; isRetry: boolean }): void {
    if (!('timestampSeconds' in verdict)) return
    const ageSeconds = nowMs / 1000 - verdict.timestampSeconds
    this.#ages.observe(ageSeconds)
    // Not by the clock that is in question: it may be set right, hence back, at any moment.
    const observedAtMs = performance.now()
    const remembered = this.#recent.filter((sample) => observedAtMs - sample.observedAtMs < REMEMBERED_MS)
    this.#recent = [...remembered, { ageSeconds, isRefused: !verdict.ok, isRetry, observedAtMs }].slice(-WINDOW)
    const skewSeconds = this.#skewSeconds()
    this.#skew.set(skewSeconds)
    if (observedAtMs - this.#warnedAtMs >= WARN_EVERY_MS) this.#warn(skewSeconds, observedAtMs)
  }

  /** Positive: our clock is ahead. NaN where too little is known. */
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
