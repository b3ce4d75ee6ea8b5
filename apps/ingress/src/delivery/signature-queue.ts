import { signatureVerification, type SignatureInput, type SignatureVerdict } from '@persona-ingest/persona'

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
