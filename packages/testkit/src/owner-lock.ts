import { randomBytes } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { processIdentity } from './process-identity.ts'

/** Says that a living process holds a lock; `pid` names it. */
export class LockHeldError extends Error {
  override readonly name = 'LockHeldError'
  readonly pid: number

  constructor(file: string, pid: number) {
    super(`${file} is held by process ${pid}, which is still running`)
    this.pid = pid
  }
}

/**
 * Takes a lock that this process holds until it releases it or ends, however it ends.
 *
 * The file names its holder by number and start time, so what a killed process left behind never blocks. Gives the
 * function that releases the lock; throws LockHeldError while another living process, or this one, holds it.
 */
export async function acquireLock(file: string): Promise<() => Promise<void>> {
  const mine = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`
  await writeFile(mine, JSON.stringify({ pid: process.pid, identity: await processIdentity(process.pid) }))
  try {
    // A link appears whole or not at all: nobody can read a lock whose holder is not yet written.
    while (!(await link(mine, file).then(() => true, isThereAlready))) await removeIfStale(file)
  } finally {
    await rm(mine, { force: true })
  }
  return () => rm(file, { force: true })
}

function isThereAlready(error: NodeJS.ErrnoException): false {
  if (error.code === 'EEXIST') return false
  throw error
}

async function removeIfStale(file: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text === null) return
  const holder = JSON.parse(text) as { pid: number; identity: string }
  if ((await processIdentity(holder.pid)) === holder.identity) throw new LockHeldError(file, holder.pid)
  await rm(file, { force: true })
}
