/* The least that a receiver in Node.js can do: Fastify, the signature checked, the JSON parsed, no log, nothing kept. */
import { verifiedServer } from './verified-server.ts'

const server = verifiedServer(async () => {})
await server.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) })
