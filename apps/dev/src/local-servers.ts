import {
  acquireLock,
  cacheFolder,
  isReachable,
  LockHeldError,
  serverAccount,
  startPostgres,
  startRedis,
} from '@persona-ingest/testkit'
import { createHash } from 'node:crypto'
import { mkdir, rm, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { choosePort } from './choose-port.ts'
import type { DevEnv } from './env.ts'
import type { Session } from './session.ts'

/** The root of the repository: this file is `apps/dev/src/` or `apps/dev/dist/`. */
export const repositoryRoot = resolve(import.meta.dirname, '../../..')

/** The folder of all data, locked against a second `dev`. */
type DevFolder = { readonly path: string; readonly release: () => Promise<void> }

/** Opens and locks the folder (`DEV_FOLDER`, from the root of the repository). Throws where another `dev` runs on it. */
export async function openDevFolder(folder: string): Promise<DevFolder> {
  const path = resolve(repositoryRoot, folder)
  await mkdir(path, { recursive: true })
  try {
    return { path, release: await acquireLock(join(path, 'lock')) }
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error
    throw new Error(`Another dev runs on ${path} already, as process ${error.pid}: stop it first.`, {
      cause: error,
    })
  }
}

/**
 * Gives the folder of PostgreSQL's data: `.dev/postgres`. Where PostgreSQL's user can't enter it (below root's home), a
 * folder of the system, to which `.dev/postgres` is a link.
 */
export async function postgresFolder(devFolder: string): Promise<string> {
  const folder = join(devFolder, 'postgres')
  if (await isReachable(devFolder, await serverAccount())) return folder
  const name = `dev-${createHash('sha256').update(devFolder).digest('hex').slice(0, 12)}`
  const elsewhere = join(await systemDataFolder(), name)
  await mkdir(elsewhere, { recursive: true })
  await rm(folder, { force: true })
  await symlink(elsewhere, folder)
  return elsewhere
}

async function systemDataFolder(): Promise<string> {
  const folder = '/var/lib/persona-ingest'
  return mkdir(folder, { recursive: true }).then(
    () => folder,
    () => cacheFolder(),
  )
}

/** The addresses of the servers, for the apps. */
export type ServerUrls = { readonly databaseUrl: string; readonly redisUrl: string }

/**
 * Starts PostgreSQL and Redis where the environment names none; their data stays in `.dev`. Throws an Error with the
 * package to install where this system has no Redis.
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
