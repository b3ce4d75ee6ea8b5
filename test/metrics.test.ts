import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRegistry, Readiness, type Registry } from '@persona-ingest/service'
import t from 'tap'
import { createMetrics as createIngressMetrics } from '../apps/ingress/src/metrics.ts'
import { createMetrics as createWorkerMetrics, registerGauges } from '../apps/worker/src/metrics.ts'
import {
  createMetrics as createNotifierMetrics,
  registerGauges as registerNotifierGauges,
} from '../apps/notifier/src/metrics.ts'
import { root } from './structure/source-files.ts'

const page = readFileSync(join(root, 'docs/metrics.md'), 'utf8')
const consumer = { tick: 1n, updatedAt: new Date(), isLagExact: true, notifications: { pending: 0, failed: 0 } }
const feed = {
  newestTick: { tick: 7n, at: new Date(), ageMs: 3_000 },
  oldestTick: 1n,
  waiting: 2,
  oldestWaitingMs: 1_500,
  consumers: [
    { ...consumer, name: 'crm', isExpired: false, lagChanges: 4, lagMs: 2_500 },
    { ...consumer, name: 'lost', isExpired: true, lagChanges: null, lagMs: null },
  ],
}
const readiness = new Readiness({ checks: {} })

function ingressRegistry(): Registry {
  const registry = createRegistry()
  createIngressMetrics(registry, readiness)
  return registry
}

function workerRegistry(): Registry {
  const registry = createRegistry()
  const counts = async () => ({ waiting: 0, active: 0, delayed: 0, failed: 0 })
  createWorkerMetrics(registry)
  registerGauges(registry, {
    queue: { counts, oldestWaitingMs: async () => null, restraint: async () => null },
    readiness,
    openDeadLetters: async () => [],
    bytes: { held: { taken: () => 0, limit: 1 }, read: { taken: () => 0, limit: 1 } },
    driftedEvents: async () => 0,
    feedStatus: async () => feed,
  })
  return registry
}

function notifierRegistry(): Registry {
  const registry = createRegistry()
  createNotifierMetrics(registry)
  registerNotifierGauges(registry, {
    readiness,
    counts: async () => ({ pending: 0, failed: 0, oldestSeconds: 0 }),
    queued: async () => 0,
    inFlight: () => 0,
    isReading: () => true,
  })
  return registry
}

type Row = { readonly name: string; readonly type: string; readonly labels: readonly string[] }

function inCode(registry: Registry): Row[] {
  const ours = registry.getMetricsAsArray().filter(({ name }) => name.startsWith('persona_'))
  // prom-client keeps a metric's labels to itself, but for this.
  return ours.map((metric) => ({
    name: metric.name,
    type: metric.constructor.name.toLowerCase(),
    labels: (metric as unknown as { labelNames: readonly string[] }).labelNames.filter((label) => label !== 'le'),
  }))
}

/** The rows of the table below a heading of the page. */
function documented(heading: string): Row[] {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  return rows.map((row) => {
    const [, name = '', type = '', labels = ''] = row.split('|').map((cell) => cell.trim())
    return {
      name: name.replaceAll('`', ''),
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label ?? ''),
    }
  })
}

t.test('docs/metrics.md lists every metric of the ingress with its type and labels, and no other', async (t) => {
  t.same(documented('Ingress'), inCode(ingressRegistry()))
})

t.test('docs/metrics.md lists every metric of the worker with its type and labels, and no other', async (t) => {
  const byName = (a: Row, b: Row) => a.name.localeCompare(b.name)
  t.same(documented('Worker').toSorted(byName), inCode(workerRegistry()).toSorted(byName))
})

t.test('docs/metrics.md lists every metric of the notifier with its type and labels, and no other', async (t) => {
  const byName = (a: Row, b: Row) => a.name.localeCompare(b.name)
  t.same(documented('Notifier').toSorted(byName), inCode(notifierRegistry()).toSorted(byName))
})

t.test('series that alerts watch begin at 0', async (t) => {
  const text = await workerRegistry().metrics()
  for (const environment of ['production', 'sandbox']) {
    t.match(text, `persona_worker_workflow_errors_total{environment="${environment}"} 0`)
    t.match(text, `persona_worker_events_total{outcome="dead",environment="${environment}"} 0`)
  }
})

t.test('the lag of consumers is shown by name, and an expired one has none', async (t) => {
  const text = await workerRegistry().metrics()
  const lines = text.split('\n').filter((line) => /^persona_worker_changes?_(?!ticks)/.test(line))
  t.strictSame(lines, [
    'persona_worker_change_newest_tick_age_seconds 3',
    'persona_worker_changes_oldest_waiting_seconds 1.5',
    'persona_worker_change_consumer_lag_changes{consumer="crm"} 4',
    'persona_worker_change_consumer_lag_seconds{consumer="crm"} 2.5',
    'persona_worker_change_consumer_expired{consumer="crm"} 0',
    'persona_worker_change_consumer_expired{consumer="lost"} 1',
  ])
})

t.test('what cannot be asked is not told as 0', async (t) => {
  const registry = createRegistry()
  const away = async (): Promise<never> => Promise.reject(new Error('away'))
  registerGauges(registry, {
    queue: { counts: away, oldestWaitingMs: away, restraint: away },
    readiness: new Readiness({ checks: { redis: away, database: away } }),
    openDeadLetters: away,
    bytes: { held: { taken: () => 0, limit: 1 }, read: { taken: () => 0, limit: 1 } },
    driftedEvents: away,
    feedStatus: away,
  })
  const text = await registry.metrics()
  t.match(text, /^persona_worker_queue_oldest_waiting_seconds Nan$/m)
  t.match(text, /^persona_worker_drifted_events Nan$/m)
  t.match(text, /^persona_worker_change_newest_tick_age_seconds Nan$/m)
  t.match(text, /^persona_worker_changes_oldest_waiting_seconds Nan$/m)
  t.match(text, /^persona_worker_redis_up 0$/m)
  t.match(text, /^persona_worker_database_up 0$/m)
  t.notMatch(text, /^persona_worker_queue_jobs\{/m)
  t.notMatch(text, /^persona_worker_dead_letters_open\{/m)
})
