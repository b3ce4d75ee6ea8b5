import t from 'tap'
import { QueueUnavailableError, type Delivery } from '@persona-ingest/queue'
import { createRegistry, Readiness } from '@persona-ingest/service'
import { eventually } from '@persona-ingest/testkit'
import { acceptDelivery, deliveryOf } from '../../src/deliveries/enqueue.ts'
import { Patience } from '../../src/deliveries/deadline.ts'
import { createMetrics } from '../../src/metrics.ts'
import { anEventBody } from '../fixtures/a-delivery.ts'

const received = { environment: 'sandbox', receivedAtMs: Date.UTC(2026, 5, 1), requestId: 'r1' } as const

function deps(enqueue: (delivery: Delivery) => Promise<void>) {
  const registry = createRegistry()
  const metrics = createMetrics(registry, new Readiness({ checks: {} }))
  const results = async () => registry.getSingleMetricAsString('persona_ingress_enqueue_seconds')
  const patience = new Patience({ worstMs: () => 0 })
  return { deps: { producer: { enqueue }, backlog: { refuseOverLimit: async () => {} }, metrics, patience }, results }
}

t.test('bytes become an event, or are kept with the reason', async (t) => {
  const body = anEventBody({ id: 'evt_9' })
  t.match(deliveryOf({ body, ...received }), { kind: 'event', eventId: 'evt_9', body, ...received })
  const unusable = Buffer.from('{"data":{"id":"evt_9"}}')
  const kept = { kind: 'quarantined', eventId: 'evt_9', reason: 'EVENT_NAME_INVALID', body: unusable, ...received }
  t.match(deliveryOf({ body: unusable, ...received }), kept)
})

t.test('whatever keeps an enqueue from being confirmed is QUEUE_UNAVAILABLE, with its cause', async (t) => {
  const delivery = deliveryOf({ body: anEventBody(), ...received })
  const causes = [new QueueUnavailableError('QUEUE_FULL'), new RangeError('nobody thought of it')]
  for (const cause of causes) {
    const failing = deps(async () => Promise.reject(cause))
    await t.rejects(acceptDelivery({ delivery, readingMs: 0 }, failing.deps), { code: 'QUEUE_UNAVAILABLE', cause })
    const result = cause instanceof QueueUnavailableError ? 'QUEUE_FULL' : 'UNKNOWN'
    t.match(await failing.results(), `_count{result="${result}"} 1`)
  }
})

t.test('an enqueue that never settles is given up when the patience is over', async (t) => {
  const delivery = deliveryOf({ body: anEventBody(), ...received })
  const hanging = deps(async () => new Promise(() => {}))
  const startedAt = performance.now()
  await t.rejects(acceptDelivery({ delivery, readingMs: 0 }, hanging.deps), { code: 'QUEUE_UNAVAILABLE' })
  t.ok(performance.now() - startedAt < 3000)
})

t.test(
  'where nothing came from Redis the next delivery waits less, until Redis is heard again, late or not',
  async (t) => {
    const delivery = deliveryOf({ body: anEventBody(), ...received })
    let confirm = () => {}
    const answers = [
      async () => Promise.reject(new QueueUnavailableError('QUEUE_TOO_SLOW')),
      async () => new Promise<void>((resolve) => (confirm = resolve)),
    ]
    const { deps: some } = deps(async () => answers.shift()?.())
    const patient = some.patience.forDelivery(0)
    await t.rejects(acceptDelivery({ delivery, readingMs: 0 }, some), { code: 'QUEUE_UNAVAILABLE' })
    t.ok(some.patience.forDelivery(0) <= 500)
    const startedAt = performance.now()
    await t.rejects(acceptDelivery({ delivery, readingMs: 0 }, some), { code: 'QUEUE_UNAVAILABLE' })
    t.ok(performance.now() - startedAt < 1000)
    t.ok(some.patience.forDelivery(0) <= 500)
    confirm()
    await eventually(() => some.patience.forDelivery(0) === patient)
  },
)
