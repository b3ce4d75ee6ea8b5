import {
  context,
  diag,
  DiagLogLevel,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  trace,
  type Attributes,
  type Context,
  type Span,
} from '@opentelemetry/api'
import { withDeadline } from '@persona-ingest/core'
import type { EnvSource } from './load-env.ts'
import { type Logger, RepeatedLine } from './logger.ts'

export type Tracing = {
  readonly isOn: boolean
  /** Exports the remaining spans, within two seconds. Never rejects. */
  stop(): Promise<void>
}

const OFF: Tracing = { isOn: false, stop: async () => {} }
const STOP_DEADLINE_MS = 2_000
const TROUBLE_EVERY_MS = 60_000
const TRACER = 'persona-ingest'

/** Spans cost time even without an exporter: while tracing is off, OpenTelemetry is not called. */
let isOn = false

/** Whether the variables of OpenTelemetry ask for traces: they name an exporter or an endpoint, and none disables it. */
export function isTracingWanted(source: EnvSource): boolean {
  if (source['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || source['OTEL_TRACES_EXPORTER'] === 'none') return false
  const names = ['OTEL_TRACES_EXPORTER', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']
  return names.some((name) => (source[name] ?? '') !== '')
}

/** Exporters report failures to this logger only. Their messages may quote an answer of a server and are not logged. */
function logFailures(logger: Logger): void {
  const trouble = new RepeatedLine<string>({
    everyMs: TROUBLE_EVERY_MS,
    write: (_kind, count) => logger.warn({ count }, 'traces in trouble, some are lost'),
  })
  const note = () => trouble.note('trouble')
  const nothing = () => {}
  diag.setLogger({ error: note, warn: note, info: nothing, debug: nothing, verbose: nothing }, DiagLogLevel.WARN)
}

/**
 * Starts OpenTelemetry where its standard variables ask for it (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`,
 * `OTEL_TRACES_SAMPLER`, ...): traces over OTLP/HTTP. Otherwise its modules are not loaded.
 *
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
export async function startTracing(options: {
  readonly app: string
  readonly isWanted: boolean
  readonly logger: Logger
}): Promise<Tracing> {
  if (!options.isWanted) return OFF
  const [sdk, resources, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ])
  logFailures(options.logger)
  const named = resources.resourceFromAttributes({ 'service.name': `persona-ingest-${options.app}` })
  const provider = new sdk.NodeTracerProvider({
    resource: named.merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new sdk.BatchSpanProcessor(new OTLPTraceExporter())],
  })
  provider.register()
  isOn = true
  return {
    isOn: true,
    stop: async () =>
      withDeadline(
        STOP_DEADLINE_MS,
        () => provider.shutdown().catch(() => undefined),
        () => undefined,
      ),
  }
}

/** The active span as a W3C `traceparent`, stored with a delivery; undefined while tracing is off. */
export function currentTraceParent(): string | undefined {
  if (!isOn) return undefined
  const carrier: { traceparent?: string } = {}
  propagation.inject(context.active(), carrier)
  return carrier.traceparent
}

function parentContext(traceParent: string | undefined): Context {
  return traceParent === undefined ? context.active() : propagation.extract(ROOT_CONTEXT, { traceparent: traceParent })
}

export type SpanOptions = {
  /** The parent span, perhaps of another process; default: the active span. */
  readonly traceParent?: string | undefined
  readonly isConsumer?: boolean
  /** Ids, codes, counts and times: never personal data. */
  readonly attributes?: Attributes
}

/** Runs `work` in a span; without one while tracing is off. `note` adds attributes to the span. */
export async function inSpan<T>(
  name: string,
  options: SpanOptions,
  work: (note: (attributes: Attributes) => void) => Promise<T>,
): Promise<T> {
  if (!isOn) return work(() => {})
  const { attributes = {}, isConsumer = false } = options
  const parent = parentContext(options.traceParent)
  // The span of the job belongs to another trace: a link leads from one to the other.
  const job = options.traceParent === undefined ? undefined : trace.getActiveSpan()?.spanContext()
  const settings = {
    attributes,
    kind: isConsumer ? SpanKind.CONSUMER : SpanKind.INTERNAL,
    links: job === undefined ? [] : [{ context: job }],
  }
  return trace.getTracer(TRACER).startActiveSpan(name, settings, parent, async (span: Span) => {
    try {
      return await work((more) => void span.setAttributes(more))
    } finally {
      span.end()
    }
  })
}
