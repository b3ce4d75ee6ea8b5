import { Counter, Gauge, Histogram, type Readiness, type Registry } from '@persona-ingest/service'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5]
/** Negative: the clock of the provider is ahead. The last is the default of `SIGNATURE_TOLERANCE_SECONDS`. */
const AGE_SECONDS = [-300, -60, -5, 0, 1, 2, 5, 10, 60, 300, 3600, 43_200, 86_400, 259_200, 518_400]

function clockSkewGauge(registers: Registry[]): Gauge {
  const gauge = new Gauge({
    name: 'persona_ingress_clock_skew_seconds',
    help: "Our clock minus the provider's by the median of recent first attempts, positive = ours is ahead; NaN where too few came",
    registers,
  })
  // prom-client starts with 0, which would mean that the clock is right.
  gauge.set(Number.NaN)
  return gauge
}

/**
 * Creates the metrics of the ingress. The values of each label come from a closed list (outcomes, codes of the error
 * table, quarantine reasons, queue faults, environments): no client can increase the number of series.
 */
export function createMetrics(registry: Registry, readiness: Readiness) {
  const registers = [registry]
  return {
    deliveries: new Counter({
      name: 'persona_ingress_deliveries_total',
      help: 'Deliveries by outcome (accepted, quarantined, refused), reason (quarantine reason or error code) and environment',
      labelNames: ['outcome', 'reason', 'environment'] as const,
      registers,
    }),
    refusedRequests: new Counter({
      name: 'persona_ingress_refused_requests_total',
      help: 'Requests that were refused before they were a delivery, such as a wrong path, by reason (a code of the error table)',
      labelNames: ['reason'] as const,
      registers,
    }),
    answers: new Histogram({
      name: 'persona_ingress_answer_seconds',
      help: "Time from a delivery's last byte (from its headers where it was refused earlier) to our answer",
      labelNames: ['outcome'] as const,
      buckets: SECONDS,
      registers,
    }),
    enqueues: new Histogram({
      name: 'persona_ingress_enqueue_seconds',
      help: 'Time until Redis confirmed an enqueue, or until it was given up, by result (confirmed or a queue fault)',
      labelNames: ['result'] as const,
      buckets: SECONDS,
      registers,
    }),
    signatureAges: new Histogram({
      name: 'persona_ingress_signature_age_seconds',
      help: "Our clock minus the provider's t, of signatures that match; most of them negative or old: look at the clock",
      buckets: AGE_SECONDS,
      registers,
    }),
    clockSkew: clockSkewGauge(registers),
    redisUp: new Gauge({
      name: 'persona_ingress_redis_up',
      help: '1 while Redis takes writes, else 0 (asked at most once a second)',
      registers,
      async collect() {
        this.set((await readiness.missing()).includes('redis') ? 0 : 1)
      },
    }),
  }
}
