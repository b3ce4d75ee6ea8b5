import { FastifyOtelInstrumentation } from '@fastify/otel'
import type { FastifyPluginCallback } from 'fastify'

/** Spans of OpenTelemetry for requests. What is in an address or an error's text may be anything, and is left out. */
export function requestSpans(): FastifyPluginCallback {
  const instrumentation = new FastifyOtelInstrumentation({
    recordExceptions: false,
    instrumentHooks: false,
    requestHook: (span, request) => void span.setAttribute('url.path', request.routeOptions.url ?? ''),
    ignorePaths: ({ url }) => url.startsWith('/livez') || url.startsWith('/readyz'),
  })
  return instrumentation.plugin()
}
