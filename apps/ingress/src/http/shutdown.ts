import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { type Readiness, readinessAnswer } from '@persona-ingest/service'

/** Counts the deliveries between the gate and their answer: what a drain has to wait for. */
export class HeldDeliveries {
  #count = 0
  readonly #waiting = new Set<() => void>()

  get count(): number {
    return this.#count
  }

  /** Runs one delivery and counts it as held for as long. */
  async hold<T>(run: () => Promise<T>): Promise<T> {
    this.#count += 1
    try {
      return await run()
    } finally {
      this.#count -= 1
      if (this.#count === 0) this.#release()
    }
  }

  /** Resolves once none is held. */
  async none(): Promise<void> {
    if (this.#count === 0) return
    await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  #release(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** How long clients in the middle of a request may go on, at most, once nothing of theirs can be accepted any more. */
const CLOSE_GRACE_MS = 2000

declare module 'fastify' {
  interface FastifyInstance {
    readonly readiness: Readiness
    readonly heldDeliveries: HeldDeliveries
    /** Refuses further deliveries, waits for the held ones (the port still answers), then closes the server. */
    drain(): Promise<void>
  }
}

/**
 * Closes the server. Node.js stops its own time limits here, so a client that sends nothing, or never ends its body,
 * would hold the process until the drain's deadline: after a grace its connection is cut. No delivery of such a client
 * has been accepted.
 */
async function closeServer(app: FastifyInstance, graceMs: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), graceMs)
  try {
    await app.close()
  } finally {
    clearTimeout(cut)
  }
}

type DrainingOptions = { readonly readiness: Readiness; readonly drainTimeoutMs: number }

async function registerDraining(app: FastifyInstance, { readiness, drainTimeoutMs }: DrainingOptions): Promise<void> {
  const heldDeliveries = new HeldDeliveries()
  app.decorate('readiness', readiness)
  app.decorate('heldDeliveries', heldDeliveries)
  app.decorate('drain', async () => {
    readiness.beginShutdown()
    // Fastify's close() stops listening first; the port has to answer while deliveries are held.
    await heldDeliveries.none()
    await closeServer(app, Math.min(CLOSE_GRACE_MS, drainTimeoutMs / 4))
  })
  // Sends clients and load balancers elsewhere with their next request.
  app.addHook('onSend', async (_request, reply) => {
    if (readiness.isShuttingDown) reply.header('connection', 'close')
  })
}

export const draining = fastifyPlugin(registerDraining, { name: 'draining', fastify: '5.x' })

/** `GET /livez` and `GET /readyz` on the public port, for load balancers that reach no other. */
export async function healthRoutes(app: FastifyInstance): Promise<void> {
  app.get('/livez', async () => ({ status: 'live' }))
  app.get('/readyz', async (_request, reply) => {
    const { status, body } = await readinessAnswer(app.readiness)
    return reply.code(status).header('cache-control', 'no-store').send(body)
  })
}
