import { randomBytes } from 'node:crypto'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { acquireLock, LockHeldError } from './owner-lock.ts'

/** Another process may be downloading on a slow line; the longest build is a few megabytes or one initdb. */
const patienceMs = 5 * 60_000

/**
 * Makes a folder that many processes share and nobody changes afterwards: built once, in a folder beside it, and put
 * in its place by one rename, so that it is never seen half done.
 *
 * While one process builds, the others wait up to five minutes.
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

async function waitForLock(file: string): Promise<() => Promise<void>> {
  const endsAtMs = performance.now() + patienceMs
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
