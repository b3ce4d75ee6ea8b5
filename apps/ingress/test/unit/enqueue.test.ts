import type { Deadline } from '@persona-ingest/core'
import t from 'tap'
import { QueueUnavailableError, type Delivery } from '@persona-ingest/queue'
import { createRegistry, Readiness } from '@persona-ingest/service'
import { eventually } from '@persona-ingest/testkit'
import { enqueueDelivery, deliveryOf } from '../../src/deliveries/enqueue.ts'
import { AcknowledgementDeadline } from '../../src/deliveries/deadline.ts'
import { createMetrics } from '../../src/metrics.ts'
import { anEventBody } from '../fixtures/a-delivery.ts'

const received = { environment: 'sandbox', receivedAtMs: Date.UTC(2026, 5, 1), requestId: 'r1' } as const

function deps(enqueue: (delivery: Delivery) => Promise<void>) {
  const registry = createRegistry()
  const metrics = createMetrics(registry, new Readiness({ checks: {} }))
  const results = async () => registry.getSingleMetricAsString('persona_ingress_enqueue_seconds')
  const loop = { latenessMs: 0 }
  const acknowledgementDeadline = new AcknowledgementDeadline({ worstMs: () => loop.latenessMs })
  const backlog = { refuseOverLimit: async () => {} }
  return {
    deps: { producer: { enqueue }, backlog, enqueues: metrics.enqueues, acknowledgementDeadline },
    loop,
    results,
  }
}

t.test('bytes become an event, or are kept with the reason', async (t) => {
  const body = anEventBody({ id: 'evt_9' })
  t.match(deliveryOf({ body, ...received }), { kind: 'event', eventId: 'evt_9', body, ...received })
  const unusable = Buffer.from('{"data":{"id":"evt_9"}}')
  const kept = { kind: 'quarantined', eventId: 'evt_9', reason: 'EVENT_NAME_INVALID', body: unusable, ...received }
  t.match(deliveryOf({ body: unusable, ...received }), kept)
})

t.test('every failure of an enqueue is QUEUE_UNAVAILABLE, with its cause', async (t) => {
  const delivery = deliveryOf({ body: anEventBody(), ...received })
  const causes = [new QueueUnavailableError('QUEUE_FULL'), new RangeError('nobody thought of it')]
  for (const cause of causes) {
    const failing = deps(async () => Promise.reject(cause))
    await t.rejects(enqueueDelivery({ delivery, readingMs: 0, verifyingMs: 0 }, failing.deps), {
      code: 'QUEUE_UNAVAILABLE',
      cause,
    })
    const result = cause instanceof QueueUnavailableError ? 'QUEUE_FULL' : 'UNKNOWN'
    t.match(await failing.results(), `_count{result="${result}"} 1`)
  }
})

t.test('an enqueue that never settles is given up at its deadline', async (t) => {
  const delivery = deliveryOf({ body: anEventBody(), ...received })
  const hanging = deps(async () => new Promise(() => {}))
  const startedAt = performance.now()
  await t.rejects(enqueueDelivery({ delivery, readingMs: 0, verifyingMs: 0 }, hanging.deps), {
    code: 'QUEUE_UNAVAILABLE',
  })
  t.ok(performance.now() - startedAt < 3000)
})

t.test('where Redis did not answer the next deadline is short, until Redis answers again, late or not', async (t) => {
  const delivery = deliveryOf({ body: anEventBody(), ...received })
  let confirm = () => {}
  const answers = [
    async () => Promise.reject(new QueueUnavailableError('QUEUE_TOO_SLOW')),
    async () => new Promise<void>((resolve) => (confirm = resolve)),
  ]
  const { deps: some } = deps(async () => answers.shift()?.())
  const usualMs = some.acknowledgementDeadline.enqueueDeadlineMs(0, 0)
  await t.rejects(enqueueDelivery({ delivery, readingMs: 0, verifyingMs: 0 }, some), { code: 'QUEUE_UNAVAILABLE' })
  t.ok(some.acknowledgementDeadline.enqueueDeadlineMs(0, 0) <= 500)
  const startedAt = performance.now()
  await t.rejects(enqueueDelivery({ delivery, readingMs: 0, verifyingMs: 0 }, some), { code: 'QUEUE_UNAVAILABLE' })
  t.ok(performance.now() - startedAt < 1000)
  t.ok(some.acknowledgementDeadline.enqueueDeadlineMs(0, 0) <= 500)
  confirm()
  await eventually(() => some.acknowledgementDeadline.enqueueDeadlineMs(0, 0) === usualMs)
})

t.test('one deadline covers the count of the backlog and the enqueue', async (t) => {
  const delivery = deliveryOf({ body: anEventBody(), ...received })
  const { deps: some, loop } = deps(async () => {})
  let count = () => {}
  const backlog = { refuseOverLimit: async () => new Promise<void>((resolve) => (count = resolve)) }
  const isOver: boolean[] = []
  const producer = { enqueue: async (_: Delivery, deadline: Deadline) => void isOver.push(deadline.isExceeded) }
  loop.latenessMs = 1200
  const given = { delivery, readingMs: 0, verifyingMs: 0 }
  await t.rejects(enqueueDelivery(given, { ...some, backlog, producer }), { code: 'QUEUE_UNAVAILABLE' })
  count()
  await eventually(() => isOver.length === 1)
  t.strictSame(isOver, [true], 'the producer writes nothing past the deadline')
})
