import { randomBytes } from 'node:crypto'
import { access, lstat, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { isReachable, serverAccount } from './operating-system.ts'
import { acquireLock, LockHeldError } from './process-owner.ts'

/**
 * Returns the cache folder: `$XDG_CACHE_HOME/persona-ingest`, else `~/.cache/persona-ingest`. For root, whose home
 * PostgreSQL's user cannot enter, it is `/var/cache/persona-ingest`; else a folder of this user below the temporary one.
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

/** Creates an empty temporary folder that PostgreSQL's account can enter; its name begins with `persona-ingest-`. */
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
  // Programs run from here: another user must not own the folder or be able to change it.
  const { uid: owner, mode } = await lstat(folder)
  return owner === uid && (mode & 0o022) === 0 && (await isReachable(folder, await serverAccount()))
}

/** The longest build is a download of a few megabytes or one initdb. */
const buildDeadlineMs = 5 * 60_000

/**
 * Builds a folder once for all processes. It is built beside its place and renamed, so that it is never seen incomplete.
 * Other processes wait up to five minutes for the one that builds.
 */
export async function buildOnce(folder: string, build: (unfinished: string) => Promise<void>): Promise<void> {
  if (await exists(folder)) return
  await mkdir(dirname(folder), { recursive: true })
  const release = await waitForLock(`${folder}.lock`)
  try {
    if (await exists(folder)) return
    await buildAndRename(folder, build)
  } finally {
    await release()
  }
}

async function buildAndRename(folder: string, build: (unfinished: string) => Promise<void>): Promise<void> {
  const unfinished = `${folder}.${randomBytes(4).toString('hex')}.unfinished`
  try {
    await mkdir(unfinished)
    await build(unfinished)
    await rename(unfinished, folder)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

/** Acquires a lock as soon as no other process holds it; throws LockHeldError after five minutes. */
export async function waitForLock(file: string): Promise<() => Promise<void>> {
  const endsAtMs = performance.now() + buildDeadlineMs
  for (;;) {
    try {
      return await acquireLock(file)
    } catch (error) {
      if (!(error instanceof LockHeldError) || performance.now() > endsAtMs) throw error
    }
    await wait(50)
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
