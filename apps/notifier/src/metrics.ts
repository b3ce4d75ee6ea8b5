import type { NotificationCounts } from '@persona-ingest/database'
import { Counter, Gauge, Histogram, type Readiness, type Registry } from '@persona-ingest/service'
import { endpointFaults, type EndpointFault } from './endpoint-error.ts'

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 86_400]

/** `sent`, or the code of the failure. */
export type RequestOutcome = 'sent' | EndpointFault

/** Makes the counters and histograms that sending writes to. Labels have values of closed lists only. */
export function createMetrics(registry: Registry) {
  const registers = [registry]
  const metrics = {
    requests: new Counter({
      name: 'persona_notifier_requests_total',
      help: 'Requests to the endpoint by outcome: sent, or the code of the failure',
      labelNames: ['outcome'] as const,
      registers,
    }),
    requestTime: new Histogram({
      name: 'persona_notifier_request_seconds',
      help: 'Time of a request to the endpoint',
      buckets: SECONDS,
      registers,
    }),
    changedToSent: new Histogram({
      name: 'persona_notifier_changed_to_sent_seconds',
      help: 'From the change of a row to the answer of 2xx',
      buckets: SECONDS,
      registers,
    }),
    cutAnswers: new Counter({
      name: 'persona_notifier_cut_answers_total',
      help: 'Answers of 2xx whose body was too long or too slow, so that the connection was ended',
      registers,
    }),
    givenUp: new Counter({
      name: 'persona_notifier_given_up_total',
      help: 'Objects whose newest change was given up after three days',
      registers,
    }),
    resyncs: new Counter({
      name: 'persona_notifier_resyncs_total',
      help: 'Times that the cursor had expired, so that every row is sent',
      registers,
    }),
  }
  for (const outcome of ['sent', ...Object.keys(endpointFaults)]) metrics.requests.inc({ outcome }, 0)
  return metrics
}

export type NotifierMetrics = ReturnType<typeof createMetrics>

/** The sources that the gauges read when they are scraped. */
export type GaugeSources = {
  readonly readiness: Readiness
  readonly counts: () => Promise<NotificationCounts>
  readonly queued: () => Promise<number>
  readonly inFlight: () => number
  /** Whether this process reads the feed. */
  readonly isReading: () => boolean
}

/** prom-client can't omit a sample. With NaN, alerts compare false and graphs show a gap. */
const UNKNOWN = Number.NaN

function databaseGauges(registers: Registry[], { counts }: GaugeSources): void {
  new Gauge({
    name: 'persona_notifier_notifications',
    help: 'Objects with a change that was not yet answered with 2xx, by state: pending, failed (given up)',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const found = await counts().catch(() => null)
      this.reset()
      if (found === null) return
      this.set({ state: 'pending' }, found.pending)
      this.set({ state: 'failed' }, found.failed)
    },
  })
  new Gauge({
    name: 'persona_notifier_oldest_pending_seconds',
    help: 'Age of the oldest pending change, 0 where there is none, NaN while the database does not tell',
    registers,
    async collect() {
      this.set((await counts().catch(() => null))?.oldestSeconds ?? UNKNOWN)
    },
  })
}

function readinessGauges(registers: Registry[], readiness: Readiness): void {
  for (const dependency of ['redis', 'database'] as const) {
    new Gauge({
      name: `persona_notifier_${dependency}_up`,
      help: `1 while the ${dependency} answers, else 0 (asked at most once a second)`,
      registers,
      async collect() {
        this.set((await readiness.missing()).includes(dependency) ? 0 : 1)
      },
    })
  }
}

/** Registers the gauges. */
export function registerGauges(registry: Registry, sources: GaugeSources): void {
  const registers = [registry]
  databaseGauges(registers, sources)
  readinessGauges(registers, sources.readiness)
  new Gauge({
    name: 'persona_notifier_queue_jobs',
    help: 'Objects in the queue, being sent or not, NaN while Redis does not tell',
    registers,
    async collect() {
      this.set(await sources.queued().catch(() => UNKNOWN))
    },
  })
  new Gauge({
    name: 'persona_notifier_in_flight',
    help: 'Objects that this process sends right now',
    registers,
    collect() {
      this.set(sources.inFlight())
    },
  })
  new Gauge({
    name: 'persona_notifier_reading',
    help: '1 in the process that reads the change feed for the consumer, else 0',
    registers,
    collect() {
      this.set(Number(sources.isReading()))
    },
  })
}
