import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { readinessAnswer, type Readiness } from '@persona-ingest/service'

/** How long clients may go on with a request, at most, after the last delivery in flight was answered. */
const CLOSE_GRACE_MS = 2000

/** Counts the authentic deliveries that are not answered yet: a graceful shutdown waits for them. */
export class InFlight {
  #count = 0
  readonly #waiting = new Set<() => void>()

  get count(): number {
    return this.#count
  }

  /** Runs one delivery, which is in flight for as long. */
  async track<T>(run: () => Promise<T>): Promise<T> {
    this.#count += 1
    try {
      return await run()
    } finally {
      this.#count -= 1
      if (this.#count === 0) this.#release()
    }
  }

  /** Resolves once none is in flight. */
  async none(): Promise<void> {
    if (this.#count === 0) return
    await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  #release(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly readiness: Readiness
    readonly inFlight: InFlight
    /** Refuses further deliveries, waits for those in flight (the port still answers), then closes the server. */
    shutDown(): Promise<void>
  }
}

/**
 * Closes the server, and cuts the remaining connections after a grace period. Node.js stops its own time limits here: a
 * client that sends nothing, or never ends its body, would delay the exit until `DRAIN_TIMEOUT_MS`.
 */
async function closeServer(app: FastifyInstance, graceMs: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), graceMs)
  try {
    await app.close()
  } finally {
    clearTimeout(cut)
  }
}

type ShutdownOptions = { readonly readiness: Readiness; readonly timeoutMs: number }

async function registerGracefulShutdown(app: FastifyInstance, { readiness, timeoutMs }: ShutdownOptions) {
  const inFlight = new InFlight()
  app.decorate('readiness', readiness)
  app.decorate('inFlight', inFlight)
  app.decorate('shutDown', async () => {
    readiness.beginShutdown()
    // Fastify's close() stops listening first; the port has to answer while deliveries are in flight.
    await inFlight.none()
    await closeServer(app, Math.min(CLOSE_GRACE_MS, timeoutMs / 4))
  })
  // Clients and load balancers send their next request to another process.
  app.addHook('onSend', async (_request, reply) => {
    if (readiness.isShuttingDown) reply.header('connection', 'close')
  })
  // On the public port too, for load balancers that reach no other.
  app.get('/livez', async () => ({ status: 'live' }))
  app.get('/readyz', async (_request, reply) => {
    const { status, body } = await readinessAnswer(readiness)
    return reply.code(status).header('cache-control', 'no-store').send(body)
  })
}

/** Adds `shutDown()`, and `/livez` and `/readyz`, which tell load balancers about it. */
export const gracefulShutdown = fastifyPlugin(registerGracefulShutdown, { name: 'graceful-shutdown', fastify: '5.x' })
