import type { DeliveryOutcome } from '@persona-ingest/queue'

const RELEASE: DeliveryOutcome = { action: 'requeue', delayMs: 0 }

/** Lets a drain hand back what can't be settled in the time there is, whatever the database does. */
export class HandBack {
  // A race against one long-lived promise would keep a reaction of every delivery for as long as the worker runs.
  readonly #held = new Set<(outcome: DeliveryOutcome) => void>()

  /** Resolves as `settling` does, or to a release once everything is handed back. */
  async settled(settling: Promise<DeliveryOutcome>): Promise<DeliveryOutcome> {
    return new Promise((resolve, reject) => {
      this.#held.add(resolve)
      settling.then(resolve, reject).finally(() => this.#held.delete(resolve))
    })
  }

  /** Releases all that is held now. Storing is idempotent: a write still on its way does no harm. */
  handBackAll(): void {
    for (const resolve of this.#held) resolve(RELEASE)
  }
}
