import { join } from 'node:path'
import { startPostgres, startRedis } from '@persona-ingest/testkit'
import { choosePort } from './choose-port.ts'
import { postgresFolder } from './dev-folder.ts'
import type { DevEnv } from './env.ts'
import type { Session } from './session.ts'

/** The addresses that the apps are given. */
export type ServerUrls = { readonly databaseUrl: string; readonly redisUrl: string }

/**
 * Starts PostgreSQL and Redis where the environment names none, with data in `.dev` that outlives them.
 *
 * Throws an Error that says what to install when there is no Redis on this system.
 */
export async function startLocalServers(env: DevEnv, devFolder: string, session: Session): Promise<ServerUrls> {
  return {
    redisUrl: env.REDIS_URL ?? (await redisUrl(join(devFolder, 'redis'), session)),
    databaseUrl: env.DATABASE_URL ?? (await databaseUrl(await postgresFolder(devFolder), session)),
  }
}

async function redisUrl(dir: string, session: Session): Promise<string> {
  const port = await choosePort({ name: 'Redis', wanted: 16_379 }, session.say)
  const server = await session.opening(startRedis({ dir, port }), (server) => server.stop())
  session.say(`Redis runs on port ${port}, its data is in ${dir}.`)
  return server.url
}

async function databaseUrl(dir: string, session: Session): Promise<string> {
  const port = await choosePort({ name: 'PostgreSQL', wanted: 15_432 }, session.say)
  const server = await session.opening(startPostgres({ dir, port }), (server) => server.stop())
  session.say(`PostgreSQL runs on port ${port}, its data is in ${dir}.`)
  return server.url()
}
