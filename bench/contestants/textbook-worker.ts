/* A worker as its manual shows it, with ten jobs at once where the default would be one. */
import { createServer } from 'node:http'
import { Worker } from 'bullmq'
import { openDatabase } from '@persona-ingest/database'
import { redisConnection } from './redis-connection.ts'
import { storeWithPrisma } from './store-with-prisma.ts'
import type { EventDocument } from './verified-server.ts'

const { prisma } = openDatabase({ encryptionKeys: [], url: process.env['DATABASE_URL'] ?? '', connections: 10 })
const worker = new Worker('textbook', async (job) => storeWithPrisma(prisma, job.data as EventDocument), {
  connection: redisConnection(),
  concurrency: 10,
})
await worker.waitUntilReady()
createServer((_request, answer) => answer.end()).listen(Number(process.env['PORT']), '127.0.0.1')
