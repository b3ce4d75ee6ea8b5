import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Readiness } from './readiness.ts'

/** Creates a registry that holds the default metrics of the process and of Node.js. */
export function createRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}

export type OperationsServerOptions = {
  readonly port: number
  /** The address to listen on: a private one, since the metrics are not for the public. */
  readonly host: string
  readonly registry: Registry
  readonly readiness: Readiness
}

export type OperationsServer = {
  /** The port that the server listens on; chosen by the system where the option is 0. */
  readonly port: number
  /** Stops listening and ends open connections. */
  close(): Promise<void>
}

type Answer = { readonly status: number; readonly type: string; readonly text: string }

function json(status: number, value: unknown): Answer {
  return { status, type: 'application/json; charset=utf-8', text: JSON.stringify(value) }
}

/** The answer of `GET /readyz`, the same on each port. */
export async function readinessAnswer(readiness: Readiness): Promise<{ status: 200 | 503; body: object }> {
  const missing = await readiness.missing()
  return missing.length === 0
    ? { status: 200, body: { status: 'ready' } }
    : { status: 503, body: { status: 'unavailable', missing } }
}

async function answer(request: IncomingMessage, options: OperationsServerOptions): Promise<Answer> {
  const path = (request.url ?? '').split('?', 1)[0]
  if (request.method !== 'GET' && request.method !== 'HEAD') return json(405, { status: 'method not allowed' })
  if (path === '/livez') return json(200, { status: 'live' })
  if (path === '/readyz') {
    const { status, body } = await readinessAnswer(options.readiness)
    return json(status, body)
  }
  if (path !== '/metrics') return json(404, { status: 'not found' })
  return { status: 200, type: options.registry.contentType, text: await options.registry.metrics() }
}

async function serve(request: IncomingMessage, response: ServerResponse, options: OperationsServerOptions) {
  const { status, type, text } = await answer(request, options).catch(() => json(500, { status: 'failed' }))
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
  response.end(request.method === 'HEAD' ? undefined : text)
}

/**
 * Serves `/livez`, `/readyz` and `/metrics` (Prometheus text) on a port that the public does not reach.
 * Rejects where the port is not free.
 */
export async function startOperationsServer(options: OperationsServerOptions): Promise<OperationsServer> {
  // Scrapers and probes send a few hundred bytes. The limits close the socket of a client that hangs.
  const limits = { headersTimeout: 5000, requestTimeout: 5000, maxHeaderSize: 8192 }
  const server = createServer(limits, (request, response) => void serve(request, response, options))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}
