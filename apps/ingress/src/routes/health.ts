import type { FastifyInstance } from 'fastify'
import { readinessAnswer } from '@persona-ingest/service'

/** `GET /livez` and `GET /readyz` on the public port, for load balancers that reach no other. */
export async function healthRoutes(app: FastifyInstance): Promise<void> {
  app.get('/livez', async () => ({ status: 'live' }))
  app.get('/readyz', async (_request, reply) => {
    const { status, body } = await readinessAnswer(app.readiness)
    return reply.code(status).header('cache-control', 'no-store').send(body)
  })
}
