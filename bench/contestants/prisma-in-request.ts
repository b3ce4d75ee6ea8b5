/* What most teams write: the request's handler stores the event, and answers when it is stored. */
import { openDatabase } from '@persona-ingest/database'
import { storeWithPrisma } from './store-with-prisma.ts'
import { verifiedServer } from './verified-server.ts'

const { prisma } = openDatabase({ encryptionKeys: [], url: process.env['DATABASE_URL'] ?? '', connections: 10 })
const server = verifiedServer(async (document) => storeWithPrisma(prisma, document))
await server.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) })
