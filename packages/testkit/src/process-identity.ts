import { readFile, readdir } from 'node:fs/promises'
import { runCommand } from './run-command.ts'

type ProcessFacts = { readonly parent: number; readonly state: string; readonly startedAt: string }

/**
 * Tells one process from any other that had or will get the same number: its start time, and on Linux the boot's id.
 *
 * Gives null when no such process lives (one that ended and was not yet collected by its parent counts as ended).
 */
export async function processIdentity(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return startTimeFromPs(pid)
  const facts = await readFacts(pid)
  if (facts === null || facts.state === 'Z') return null
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  return `${facts.startedAt} ${bootId.trim()}`
}

/** Lists the children of a process, their children and so on. */
export async function descendants(pid: number): Promise<number[]> {
  const parents = process.platform === 'linux' ? await parentsFromProc() : await parentsFromPs()
  const found = [pid]
  for (const parent of found) {
    for (const [child, childsParent] of parents) if (childsParent === parent) found.push(child)
  }
  return found.slice(1)
}

/** Reads /proc/<pid>/stat; the process name in it may hold blanks and brackets, so fields count from the last `)`. */
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
  // ps exits 1 when there is no such process.
  return runCommand('ps', ['-o', 'lstart=', '-p', String(pid)]).then(
    (text) => (text.trim() === '' ? null : text.trim()),
    () => null,
  )
}
