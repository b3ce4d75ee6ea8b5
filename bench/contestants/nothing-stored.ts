/* The ceiling of `ack`: our own server with all its checks, log lines and metrics, and a queue that keeps nothing. */
import { buildApp, readEnv } from '@persona-ingest/ingress'
import { createLogger, createRegistry } from '@persona-ingest/service'

const { SECRET: PERSONA_WEBHOOK_SECRETS, PORT, REDIS_URL } = process.env
const env = readEnv({ PERSONA_WEBHOOK_SECRETS, PORT, REDIS_URL, HOST: '127.0.0.1' })
const nothing = async (): Promise<void> => {}
const app = buildApp({
  env,
  logger: createLogger({ app: 'ingress', level: env.LOG_LEVEL }),
  registry: createRegistry(),
  now: Date.now,
  producer: {
    enqueue: nothing,
    probe: nothing,
    counts: async () => ({ waiting: 0, active: 0, delayed: 0, failed: 0 }),
    durability: async () => ({ appendonly: 'yes', appendfsync: 'always', maxmemoryPolicy: 'noeviction' }),
  },
})
await app.listen({ host: env.HOST, port: env.PORT })
