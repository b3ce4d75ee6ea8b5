import { createHash } from 'node:crypto'
import { mkdir, rm, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { acquireLock, cacheFolder, isReachable, LockHeldError, serverAccount } from '@persona-ingest/testkit'

/** The root of the repository: this file is `apps/dev/src/` or `apps/dev/dist/`. */
export const repositoryRoot = resolve(import.meta.dirname, '../../..')

/** `.dev` at the root of the repository, or what DEV_FOLDER names, held against a second `dev`. */
export type DevFolder = { readonly path: string; readonly release: () => Promise<void> }

/** Opens the folder (`DEV_FOLDER`). Throws where another `dev` runs on this repository; one that was killed does not count. */
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
 * Gives the folder for PostgreSQL's data: `.dev/postgres`, or, where PostgreSQL's user can't reach that (root's home is
 * closed to it), one in the system's folder for such data, to which `.dev/postgres` is a link.
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
