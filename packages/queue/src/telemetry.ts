import { BullMQOtel } from 'bullmq-otel'
import type { QueueOptions } from 'bullmq'

/** BullMQ's own spans of jobs, where tracing is on. */
export function telemetry(isTraced: boolean | undefined): Pick<QueueOptions, 'telemetry'> {
  return isTraced === true ? { telemetry: new BullMQOtel({ tracerName: 'persona-ingest' }) } : {}
}
