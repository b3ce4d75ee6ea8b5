/* A process of its own, so that the load's work is not that of what it measures: told a plan, ready, go, result. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { signatureHeader } from '@persona-ingest/persona'
import { buildBodies, type Body } from './bodies.ts'
import { HttpConnection } from './http-connection.ts'
import type { LoadPlan, LoadResult, Percentiles } from './load-plan.ts'
import { RowLookup } from './row-lookup.ts'

type Request = { readonly eventId: string; readonly bytes: Buffer }

function requestOf({ eventId, bytes }: Body, plan: LoadPlan): Request {
  const timestampSeconds = Math.floor(Date.now() / 1000)
  const signature = signatureHeader({ body: bytes, secrets: [plan.secret], timestampSeconds })
  const head =
    `POST /webhooks/persona HTTP/1.1\r\nhost: 127.0.0.1:${plan.port}\r\n` +
    `content-type: application/json\r\ncontent-length: ${bytes.length}\r\npersona-signature: ${signature}\r\n\r\n`
  return { eventId, bytes: Buffer.concat([Buffer.from(head), bytes]) }
}

function percentiles(histogram: RecordableHistogram): Percentiles {
  const at = (percentile: number): number => histogram.percentile(percentile) / 1000
  return { p50: at(50), p99: at(99), p999: at(99.9), max: histogram.max / 1000 }
}

function microseconds(milliseconds: number): number {
  return Math.max(1, Math.round(milliseconds * 1000))
}

class Load {
  readonly #plan: LoadPlan
  readonly #requests: readonly Request[]
  readonly #connections: HttpConnection[]
  readonly #latency = createHistogram()
  readonly #statuses = new Map<number, number>()
  readonly #lookup: RowLookup | null
  #begun = 0
  #answered = 0

  constructor(plan: LoadPlan) {
    this.#plan = plan
    this.#requests = buildBodies(plan.bodies).map((body) => requestOf(body, plan))
    this.#connections = Array.from({ length: plan.connections }, () => new HttpConnection(plan.port))
    this.#lookup = plan.databaseUrl === null ? null : new RowLookup(plan.databaseUrl)
  }

  async run(): Promise<LoadResult> {
    const startedAt = performance.now()
    await (this.#plan.ratePerSecond === null ? this.#closedLoop() : this.#openLoop(this.#plan.ratePerSecond))
    const seconds = (performance.now() - startedAt) / 1000
    for (const connection of this.#connections) connection.close()
    const queryable = await this.#lookup?.end()
    const acknowledged = this.#statuses.get(200) ?? 0
    return {
      deliveries: this.#answered,
      acknowledged,
      seconds,
      perSecond: acknowledged / seconds,
      statuses: Object.fromEntries(this.#statuses),
      latencyMs: percentiles(this.#latency),
      queryableMs: queryable === undefined || queryable.count === 0 ? null : percentiles(queryable),
      bodyBytes: this.#requests.reduce((sum, { bytes }) => sum + bytes.length, 0) / this.#requests.length,
    }
  }

  #send(connection: HttpConnection, scheduledAt: number, then: () => void): void {
    const index = this.#begun++
    const { eventId, bytes } = this.#requests[index] as Request
    connection.send(bytes, (status) => {
      const now = performance.now()
      this.#latency.record(microseconds(now - scheduledAt))
      this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1)
      this.#answered += 1
      const { lookUpEvery } = this.#plan
      if (status === 200 && lookUpEvery > 0 && index % lookUpEvery === 0) this.#lookup?.watch(eventId, now)
      then()
    })
  }

  /** As many deliveries under way as there are connections, always. */
  async #closedLoop(): Promise<void> {
    await new Promise<void>((resolve) => {
      const next = (connection: HttpConnection): void => {
        if (this.#begun < this.#requests.length) {
          this.#send(connection, performance.now(), () => next(connection))
        } else if (this.#answered === this.#begun) resolve()
      }
      for (const connection of this.#connections) next(connection)
    })
  }

  /** Deliveries begin on a schedule, whatever became of those before; one that finds no connection free waits, counted. */
  async #openLoop(ratePerSecond: number): Promise<void> {
    const startedAt = performance.now()
    const idle = [...this.#connections]
    await new Promise<void>((resolve) => {
      const dispatch = (): void => {
        // The first is due at once: a delivery counts from its own moment, not from the next one's.
        const due = Math.floor(((performance.now() - startedAt) / 1000) * ratePerSecond) + 1
        while (this.#begun < Math.min(due, this.#requests.length)) {
          const connection = idle.pop()
          if (connection === undefined) return
          this.#send(connection, startedAt + (this.#begun / ratePerSecond) * 1000, () => {
            idle.push(connection)
            if (this.#answered === this.#requests.length) {
              clearInterval(timer)
              resolve()
            } else dispatch()
          })
        }
      }
      const timer = setInterval(dispatch, 1)
    })
  }
}

process.once('message', (plan: LoadPlan) => {
  const load = new Load(plan)
  process.send?.('ready')
  process.once('message', () => {
    void load.run().then((result) => process.send?.(result, () => process.exit(0)))
  })
})
