import { lstat, mkdir, mkdtemp } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { isReachable, serverAccount } from './server-account.ts'

/**
 * Gives the folder that keeps what is costly to make: `$XDG_CACHE_HOME/persona-ingest`, else `~/.cache/persona-ingest`.
 *
 * Root's home is closed to the user that PostgreSQL runs as; there it is `/var/cache/persona-ingest`. The last resort
 * is a folder of this user's own below the system's temporary one.
 */
export async function cacheFolder(): Promise<string> {
  const uid = process.getuid?.() ?? 0
  const userCache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  const candidates = [userCache, ...(uid === 0 ? ['/var/cache'] : [])].map((folder) => join(folder, 'persona-ingest'))
  const lastResorts = temporaryParents().map((folder) => join(folder, `persona-ingest-${uid}`))
  for (const candidate of [...candidates, ...lastResorts]) {
    if (await isUsable(candidate, uid)) return candidate
  }
  throw new Error('no folder for cached files: set XDG_CACHE_HOME to one that you and the user "postgres" can reach')
}

/** Makes an empty folder below the system's temporary one that the account of PostgreSQL can reach. */
export async function temporaryFolder(purpose: string): Promise<string> {
  const account = await serverAccount()
  for (const parent of temporaryParents()) {
    if (await isReachable(parent, account)) return mkdtemp(join(parent, `persona-ingest-${purpose}-`))
  }
  throw new Error('no temporary folder that the user "postgres" can reach: set TMPDIR to one')
}

function temporaryParents(): string[] {
  return [tmpdir(), '/tmp', '/var/tmp']
}

async function isUsable(folder: string, uid: number): Promise<boolean> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o755 })
  } catch {
    return false
  }
  // Programs are run from here: a folder that another user prepared, or may change, is out of the question.
  const { uid: owner, mode } = await lstat(folder)
  return owner === uid && (mode & 0o022) === 0 && (await isReachable(folder, await serverAccount()))
}
