import { collectDefaultMetrics, Registry } from 'prom-client'

/** Creates a registry of its own (nothing global) that already holds the process' and Node.js' default metrics. */
export function createRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}

export { Counter, Gauge, Histogram, type Registry } from 'prom-client'
