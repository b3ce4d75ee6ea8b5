import { migrate } from '@persona-ingest/database'
import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@persona-ingest/testkit'

/** Throw-away servers, as durable as in production: Redis `appendfsync always`, PostgreSQL as it comes. */
export type Servers = {
  readonly redis: RedisServer
  readonly postgres: PostgresServer
  readonly databaseUrl: string
  stop(): Promise<void>
}

/** Starts a Redis and a migrated PostgreSQL. */
export async function startServers(): Promise<Servers> {
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres({ durable: true })])
  const databaseUrl = postgres.url()
  await migrate({ databaseUrl })
  return {
    redis,
    postgres,
    databaseUrl,
    async stop() {
      await Promise.all([redis.stop(), postgres.stop()])
    },
  }
}

/** Runs `work` on servers of its own. */
export async function withServers<T>(work: (servers: Servers) => Promise<T>): Promise<T> {
  const servers = await startServers()
  try {
    return await work(servers)
  } finally {
    await servers.stop()
  }
}
