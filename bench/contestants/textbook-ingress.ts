/* A queue as its manual shows it: `queue.add` with default options, then the answer. */
import { Queue } from 'bullmq'
import { redisConnection } from './redis-connection.ts'
import { verifiedServer } from './verified-server.ts'

const queue = new Queue('textbook', { connection: redisConnection() })
const server = verifiedServer(async (document) => queue.add('event', document))
await server.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) })
