import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { RepeatedLine } from '@persona-ingest/service'
import { newDeliveryRecord, type DeliveryRecord } from '../delivery/delivery-record.ts'
import { errorRow, type IngressErrorCode } from '../errors.ts'
import type { IngressMetrics } from '../metrics.ts'

const SUMMARY_EVERY_MS = 10_000

/** `BODY_BUDGET_EXCEEDED` is none: it is said before anybody knows whose delivery it is. */
function isOutage(record: DeliveryRecord): boolean {
  if (record.reason === 'BODY_BUDGET_EXCEEDED') return false
  return record.reason !== null && errorRow(record.reason as IngressErrorCode).status >= 500
}

/** `warn` = a person may care. What anybody can send costs no line each at `info`: a summary stands for it. */
function levelOf(record: DeliveryRecord): 'info' | 'warn' | 'debug' {
  if (record.outcome === 'accepted') return 'info'
  return record.outcome === 'quarantined' || isOutage(record) ? 'warn' : 'debug'
}

function count(record: DeliveryRecord, metrics: IngressMetrics): void {
  const { outcome, reason, environment } = record
  metrics.deliveries.inc({ outcome, reason: reason ?? '', environment: environment ?? 'unknown' })
  metrics.answers.observe({ outcome }, (performance.now() - record.completeAtMs) / 1000)
}

/** One log line and one count per delivery, whatever became of it. Encapsulated with the route that it reports on. */
async function deliveryReports(app: FastifyInstance, { metrics }: { metrics: IngressMetrics }): Promise<void> {
  const refusals = new RepeatedLine<string>({
    everyMs: SUMMARY_EVERY_MS,
    write: (reason, count) => app.log.warn({ reason, count }, 'deliveries refused'),
  })
  app.decorateRequest('delivery', null)
  app.addHook('onRequest', async (request: FastifyRequest) => {
    request.delivery = newDeliveryRecord()
  })
  // When the answer is decided, and not `onResponse`: that one never comes where the client has gone meanwhile.
  app.addHook('onSend', async (request: FastifyRequest) => {
    const record = request.delivery
    if (record === null) return
    request.delivery = null
    count(record, metrics)
    const { completeAtMs: _, ...told } = record
    const level = levelOf(record)
    request.log[level](told, 'delivery answered')
    if (level === 'debug' && record.reason !== null) refusals.note(record.reason)
  })
}

export default fastifyPlugin(deliveryReports, { name: 'delivery-reports', fastify: '5.x' })
