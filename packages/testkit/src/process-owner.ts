import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { CodedError } from '@persona-ingest/core'
import { runCommand } from './operating-system.ts'

/*
 * Waits for the end of standard input, which comes at any end of the owner: SIGKILL leaves no time for a handler. A
 * shell costs little, and each server needs one.
 */
const untilOwnerEnds = 'read -r _'

/**
 * Kills processes when this process ends. The returned function cancels that: call it after the processes have ended,
 * since the system uses their numbers again.
 */
export function killWithOwner(pids: readonly number[]): () => void {
  return standBy(`${untilOwnerEnds}; kill -9 "$@"`, pids.map(String))
}

/** Removes a folder when this process ends. The returned function cancels that. */
export function removeWithOwner(folder: string): () => void {
  // The pause is for servers that end at the same moment and still write.
  return standBy(`${untilOwnerEnds}; sleep 1; rm -rf "$1"`, [folder])
}

function standBy(script: string, args: readonly string[]): () => void {
  const watcher = spawn('/bin/sh', ['-c', script, 'sh', ...args], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // A separate session: Ctrl-C in the terminal must not end the watcher before its owner.
    detached: true,
    cwd: '/',
  })
  watcher.unref()
  watcher.stdin?.on('error', () => {})
  return () => void watcher.kill('SIGKILL')
}

/** Reports that a running process, number `pid`, holds a lock. */
export class LockHeldError extends CodedError<'LOCK_HELD'> {
  override readonly name = 'LockHeldError'
  readonly pid: number

  constructor(file: string, pid: number) {
    super('LOCK_HELD', `${file} is held by process ${pid}, which is still running`)
    this.pid = pid
  }
}

/**
 * Acquires a lock until this process releases it or ends. The file has the holder's process number and start time, so
 * that the lock of a killed process is free at once, and a process that is blocked or stopped keeps its lock. Returns
 * the function that releases the lock. Throws {@link LockHeldError} while a running process, or this one, holds it.
 */
export async function acquireLock(file: string): Promise<() => Promise<void>> {
  const mine = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`
  await writeFile(mine, JSON.stringify({ pid: process.pid, identity: await processIdentity(process.pid) }))
  try {
    // A link is atomic: the lock never exists without its holder.
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

type ProcessFacts = { readonly parent: number; readonly state: string; readonly startedAt: string }

/**
 * Returns what distinguishes a process from others with the same number: its start time, and on Linux the boot's id.
 * Returns null where no such process runs; a zombie counts as ended.
 */
export async function processIdentity(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return startTimeFromPs(pid)
  const facts = await readFacts(pid)
  if (facts === null || facts.state === 'Z') return null
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  return `${facts.startedAt} ${bootId.trim()}`
}

/** Returns the numbers of the children of a process, their children and so on. */
export async function descendants(pid: number): Promise<number[]> {
  const parents = process.platform === 'linux' ? await parentsFromProc() : await parentsFromPs()
  const found = [pid]
  for (const parent of found) {
    for (const [child, childsParent] of parents) if (childsParent === parent) found.push(child)
  }
  return found.slice(1)
}

/** Reads /proc/<pid>/stat. The process name may hold blanks and brackets, so that fields count from the last `)`. */
async function readFacts(pid: number): Promise<ProcessFacts | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (stat === null) return null
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', parent: Number(fields[1]), startedAt: fields[19] ?? '' }
}

async function parentsFromProc(): Promise<Map<number, number>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const facts = await Promise.all(pids.map(async (pid) => [pid, await readFacts(pid)] as const))
  return new Map(facts.flatMap(([pid, fact]) => (fact === null ? [] : [[pid, fact.parent] as const])))
}

async function parentsFromPs(): Promise<Map<number, number>> {
  const rows = (await runCommand('ps', ['-A', '-o', 'pid=,ppid='])).trim().split('\n')
  return new Map(rows.map((row) => row.trim().split(/\s+/).map(Number) as [number, number]))
}

function startTimeFromPs(pid: number): Promise<string | null> {
  // ps exits with code 1 for an unknown process.
  return runCommand('ps', ['-o', 'lstart=', '-p', String(pid)]).then(
    (text) => (text.trim() === '' ? null : text.trim()),
    () => null,
  )
}
