import type { FeedStatus } from '@persona-ingest/database'
import type { QueueView } from '@persona-ingest/queue'
import { Counter, Gauge, Histogram, type Readiness, type Registry } from '@persona-ingest/service'
import { feedGauges } from './feed-metrics.ts'

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 86_400]
const SIZES = [1, 2, 5, 10, 20, 50, 100, 200, 500]

const DEFERRED_REASONS = ['unproven', 'key_missing', 'not_decryptable'] as const
const REPLAY_OUTCOMES = ['applied', 'unchanged', 'missing', 'failed'] as const

/** Series of alerts begin at 0: `increase()` does not see a series that begins with its first event. */
function startAtZero(events: Counter<'outcome' | 'environment'>, workflowErrors: Counter<'environment'>): void {
  for (const environment of ['production', 'sandbox']) {
    workflowErrors.inc({ environment }, 0)
    for (const outcome of ['applied', 'stale', 'duplicate', 'dead']) events.inc({ outcome, environment }, 0)
  }
}

function histograms(registers: Registry[]) {
  return {
    batchSize: new Histogram({
      name: 'persona_worker_batch_events',
      help: 'Events per batch',
      buckets: SIZES,
      registers,
    }),
    batchTime: new Histogram({
      name: 'persona_worker_batch_seconds',
      help: 'Time to store a batch, outages included',
      buckets: SECONDS,
      registers,
    }),
    receiptToStored: new Histogram({
      name: 'persona_worker_receipt_to_stored_seconds',
      help: 'From the receipt of the first delivery to the commit',
      buckets: SECONDS,
      registers,
    }),
    createdToStored: new Histogram({
      name: 'persona_worker_created_to_stored_seconds',
      help: "From the event's created-at to the commit",
      buckets: SECONDS,
      registers,
    }),
  }
}

/**
 * Makes the counters and histograms that processing writes to. Labels have values of closed lists only.
 *
 * @see registerGauges for what is read at each scrape
 */
export function createMetrics(registry: Registry) {
  const registers = [registry]
  const metrics = {
    events: new Counter({
      name: 'persona_worker_events_total',
      help: 'Deliveries settled by outcome (applied, stale, duplicate, dead) and environment',
      labelNames: ['outcome', 'environment'] as const,
      registers,
    }),
    retries: new Counter({
      name: 'persona_worker_retries_total',
      help: 'Attempts used up by failing events',
      registers,
    }),
    deferred: new Counter({
      name: 'persona_worker_deferred_total',
      help: `Events put back without using up an attempt, by reason (${DEFERRED_REASONS.join(', ')}) and by the id of the key they need`,
      labelNames: ['reason', 'key_id'] as const,
      registers,
    }),
    replays: new Counter({
      name: 'persona_worker_replays_total',
      help: `Events of the log processed again, by what it came to: ${REPLAY_OUTCOMES.join(', ')}`,
      labelNames: ['outcome'] as const,
      registers,
    }),
    unencrypted: new Counter({
      name: 'persona_worker_unencrypted_deliveries_total',
      help: 'Deliveries that came into the queue unencrypted although QUEUE_ENCRYPTION_KEYS is set here',
      registers,
    }),
    workflowErrors: new Counter({
      name: 'persona_worker_workflow_errors_total',
      help: "Events named workflow-run.errored: a decisioning workflow of the provider's broke",
      labelNames: ['environment'] as const,
      registers,
    }),
    changeTicks: new Counter({
      name: 'persona_worker_change_ticks_total',
      help: 'Ticks of the change feed that this worker made',
      registers,
    }),
    ...histograms(registers),
  }
  for (const reason of DEFERRED_REASONS) metrics.deferred.inc({ reason, key_id: '' }, 0)
  startAtZero(metrics.events, metrics.workflowErrors)
  for (const outcome of REPLAY_OUTCOMES) metrics.replays.inc({ outcome }, 0)
  return metrics
}

export type WorkerMetrics = ReturnType<typeof createMetrics>

/** The sources that the gauges read when they are scraped. */
export type GaugeSources = {
  readonly queue: Pick<QueueView, 'counts' | 'oldestWaitingMs' | 'restraint'>
  readonly readiness: Readiness
  /** Bytes and their limits: of the jobs in flight (held), and of heap for events that are read and not stored yet (read). */
  readonly bytes: Readonly<Record<'held' | 'read', { readonly taken: () => number; readonly limit: number }>>
  readonly openDeadLetters: () => Promise<readonly { readonly reason: string; readonly count: number }[]>
  /** How many of the newest stored events are newer than the row of their object. */
  readonly driftedEvents: () => Promise<number>
  readonly feedStatus: () => Promise<FeedStatus>
}

/** prom-client can't omit a sample. With NaN, alerts compare false and graphs show a gap. */
const UNKNOWN = Number.NaN

function queueGauges(registers: Registry[], sources: GaugeSources): void {
  new Gauge({
    name: 'persona_worker_queue_jobs',
    help: 'Deliveries in the queue by state: waiting, active, delayed, failed',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const counts = await sources.queue.counts().catch(() => null)
      this.reset()
      for (const [state, count] of Object.entries(counts ?? {})) this.set({ state }, count)
    },
  })
  new Gauge({
    name: 'persona_worker_queue_oldest_waiting_seconds',
    help: 'Age of the oldest delivery that no worker holds, 0 where there is none, NaN while Redis does not tell',
    registers,
    async collect() {
      const ageMs = await sources.queue.oldestWaitingMs(Date.now()).catch(() => UNKNOWN)
      this.set((ageMs ?? 0) / 1000)
    },
  })
  new Gauge({
    name: 'persona_worker_queue_paused',
    help: '1 while the queue is paused from a dashboard, so that no worker takes from it, NaN while Redis does not tell',
    registers,
    async collect() {
      const restraint = await sources.queue.restraint().catch(() => UNKNOWN)
      this.set(typeof restraint === 'number' ? restraint : Number(restraint === 'paused'))
    },
  })
}

function databaseGauges(registers: Registry[], sources: GaugeSources): void {
  new Gauge({
    name: 'persona_worker_dead_letters_open',
    help: 'Open dead letters by reason',
    labelNames: ['reason'] as const,
    registers,
    async collect() {
      const deadLetters = await sources.openDeadLetters().catch(() => null)
      if (deadLetters === null) return
      this.reset()
      for (const { reason, count } of deadLetters) this.set({ reason }, count)
    },
  })
  new Gauge({
    name: 'persona_worker_drifted_events',
    help: "Of the newest stored events, those whose object's row is missing or older than they are; 0 unless rows were changed by hand or by a fault of ours",
    registers,
    async collect() {
      this.set(await sources.driftedEvents().catch(() => UNKNOWN))
    },
  })
}

function readinessGauges(registers: Registry[], readiness: Readiness): void {
  for (const dependency of ['redis', 'database'] as const) {
    new Gauge({
      name: `persona_worker_${dependency}_up`,
      help: `1 while the ${dependency} answers, else 0 (asked at most once a second)`,
      registers,
      async collect() {
        this.set((await readiness.missing()).includes(dependency) ? 0 : 1)
      },
    })
  }
}

function byteGauges(registers: Registry[], bytes: GaugeSources['bytes']): void {
  const options = { labelNames: ['kind'] as const, registers }
  new Gauge({
    ...options,
    name: 'persona_worker_in_flight_bytes',
    help: 'Bytes of the jobs held (held), and of heap, estimated, for events that are read and not stored yet (read)',
    collect() {
      for (const kind of ['held', 'read'] as const) this.set({ kind }, bytes[kind].taken())
    },
  })
  new Gauge({
    ...options,
    name: 'persona_worker_in_flight_bytes_limit',
    help: 'What bounds persona_worker_in_flight_bytes; one larger delivery goes alone',
    collect() {
      for (const kind of ['held', 'read'] as const) this.set({ kind }, bytes[kind].limit)
    },
  })
}

/** Registers the gauges, which read their sources at each scrape. */
export function registerGauges(registry: Registry, sources: GaugeSources): void {
  const registers = [registry]
  queueGauges(registers, sources)
  databaseGauges(registers, sources)
  feedGauges(registers, sources.feedStatus)
  readinessGauges(registers, sources.readiness)
  byteGauges(registers, sources.bytes)
}
