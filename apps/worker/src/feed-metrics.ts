import type { FeedStatus } from '@persona-ingest/database'
import { Gauge, type Registry } from '@persona-ingest/service'

/** Consumers with series of their own, those that have expired or are furthest behind. Anybody may make a consumer. */
export const MAX_CONSUMERS = 50

type ConsumerGauge = {
  readonly name: string
  readonly help: string
  readonly valueOf: (consumer: FeedStatus['consumers'][number]) => number | null
}

const CONSUMER_GAUGES: readonly ConsumerGauge[] = [
  {
    name: 'persona_worker_change_consumer_lag_changes',
    help: 'Changes that a consumer has not read; no sample where it has expired',
    valueOf: ({ lagChanges }) => lagChanges,
  },
  {
    name: 'persona_worker_change_consumer_lag_seconds',
    help: 'Age of the first tick that a consumer has not read, 0 at the newest; no sample where it has expired',
    valueOf: ({ lagMs }) => (lagMs === null ? null : lagMs / 1000),
  },
  {
    name: 'persona_worker_change_consumer_expired',
    help: '1 where what a consumer has not read is no longer kept, so that it must read all rows',
    valueOf: ({ isExpired }) => Number(isExpired),
  },
]

/** The gauges of one scrape share a query. */
function askedOnce(feedStatus: () => Promise<FeedStatus>): () => Promise<FeedStatus | null> {
  let asked: Promise<FeedStatus | null> | null = null
  return async () =>
    (asked ??= feedStatus()
      .catch(() => null)
      .finally(() => (asked = null)))
}

/**
 * Registers the gauges of the change feed, which ask for its state at each scrape. `feedStatus` gives at most
 * {@link MAX_CONSUMERS} consumers.
 */
export function feedGauges(registers: Registry[], feedStatus: () => Promise<FeedStatus>): void {
  const ask = askedOnce(feedStatus)
  new Gauge({
    name: 'persona_worker_change_newest_tick_age_seconds',
    help: 'Age of the newest tick of the change feed, NaN before the first and while unknown; it rises while nothing changes',
    registers,
    async collect() {
      this.set(((await ask())?.newestTick?.ageMs ?? Number.NaN) / 1000)
    },
  })
  new Gauge({
    name: 'persona_worker_changes_oldest_waiting_seconds',
    help: 'Age of the oldest change that no tick shows to readers, 0 where there is none, NaN while unknown',
    registers,
    async collect() {
      const status = await ask()
      this.set(status === null ? Number.NaN : (status.oldestWaitingMs ?? 0) / 1000)
    },
  })
  for (const { valueOf, ...gauge } of CONSUMER_GAUGES) {
    new Gauge({
      ...gauge,
      labelNames: ['consumer'] as const,
      registers,
      async collect() {
        const consumers = (await ask())?.consumers ?? []
        this.reset()
        for (const consumer of consumers) {
          const value = valueOf(consumer)
          if (value !== null) this.set({ consumer: consumer.name }, value)
        }
      },
    })
  }
}
