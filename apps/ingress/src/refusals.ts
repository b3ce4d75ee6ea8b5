import { RepeatedLine, type Logger } from '@persona-ingest/service'
import { DELIVERY_ROUTE, type IngressErrorCode } from './errors.ts'
import type { IngressMetrics } from './metrics.ts'

const SAY_EVERY_MS = 60_000

/**
 * Counts and logs requests that are refused before they are a delivery: a wrong path or method, malformed HTTP, a
 * timeout. A webhook with a wrong URL shows nowhere else. Codes only: a path may hold anything.
 */
export class Refusals {
  readonly #counter: IngressMetrics['refusedRequests']
  readonly #lines: RepeatedLine<IngressErrorCode>

  constructor({ metrics, logger }: { metrics: Pick<IngressMetrics, 'refusedRequests'>; logger: Logger }) {
    this.#counter = metrics.refusedRequests
    this.#lines = new RepeatedLine({
      everyMs: SAY_EVERY_MS,
      write: (reason, count) =>
        logger.warn({ reason, count, expected: DELIVERY_ROUTE }, 'requests refused that are no deliveries'),
    })
  }

  note(code: IngressErrorCode): void {
    this.#counter.inc({ reason: code })
    this.#lines.note(code)
  }
}
