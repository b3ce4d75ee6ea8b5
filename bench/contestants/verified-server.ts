import { fastify, type FastifyInstance } from 'fastify'
import { verifySignature } from '@persona-ingest/persona'

export type EventDocument = {
  readonly data: {
    readonly id: string
    readonly attributes: {
      readonly name: string
      readonly 'created-at': string
      readonly payload: { readonly data: ResourceObject; readonly included?: readonly ResourceObject[] }
    }
  }
}
export type ResourceObject = {
  readonly id: string
  readonly type: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly relationships?: Readonly<Record<string, unknown>>
}

/** A careful hand-written receiver: raw bytes, the signature checked, the JSON parsed; then whatever `keep` does. */
export function verifiedServer(keep: (document: EventDocument) => Promise<unknown>): FastifyInstance {
  const secrets = [{ value: process.env['SECRET'] ?? '', environment: 'production' as const }]
  const server = fastify({ bodyLimit: 2_097_152 })
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  server.get('/livez', async () => ({ status: 'live' }))
  server.post('/webhooks/persona', async (request, reply) => {
    const body = request.body as Buffer
    const header = request.headers['persona-signature']?.toString()
    const verdict = verifySignature({ header, body, secrets, nowMs: Date.now(), toleranceSeconds: 518_400 })
    if (!verdict.ok) return reply.code(401).send({ error: 'signature' })
    const document = JSON.parse(body.toString()) as EventDocument
    await keep(document)
    return { status: 'accepted', eventId: document.data.id }
  })
  return server
}
