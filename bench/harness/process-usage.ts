import { readdirSync, readFileSync } from 'node:fs'

/** What a process and its children have used so far. */
export type Usage = { readonly cpuMs: number; readonly memoryMb: number }

/** Linux counts processor time in hundredths of a second. */
const TICK_MS = 10

type Facts = { readonly parent: number; readonly ticks: number }

function factsOf(pid: number): Facts | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // utime, stime, and those of children that have ended.
    const ticks = [11, 12, 13, 14].reduce((sum, place) => sum + Number(fields[place]), 0)
    return { parent: Number(fields[1]), ticks }
  } catch {
    return null
  }
}

/** Private memory and half of the shared one would be a guess; resident memory counts what is shared in each process. */
function memoryMb(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

function tree(root: number): number[] {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
  const parents = new Map(pids.map((pid) => [pid, factsOf(pid)?.parent]))
  const found = [root]
  for (const parent of found) for (const pid of pids) if (parents.get(pid) === parent) found.push(pid)
  return found
}

/** Reads the use of a process and of its children. Memory is the proportional set size, shared pages by share. */
export function usageOf(pid: number): Usage {
  const pids = tree(pid)
  return {
    cpuMs: pids.reduce((sum, each) => sum + (factsOf(each)?.ticks ?? 0), 0) * TICK_MS,
    memoryMb: pids.reduce((sum, each) => sum + memoryMb(each), 0),
  }
}

/** What all processors of the machine have worked so far, in ms of one. */
export function busyProcessorMs(): number {
  const [, user, nice, system, , , irq, softIrq] =
    readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.split(/\s+/) ?? []
  return [user, nice, system, irq, softIrq].reduce((sum, ticks) => sum + Number(ticks), 0) * TICK_MS
}

/** Open file handles of one process. */
export function openHandles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Measures the processor time that named processes use from now on. */
export function startMeter(pids: Readonly<Record<string, number>>): () => Readonly<Record<string, Usage>> {
  const before = new Map(Object.entries(pids).map(([name, pid]) => [name, usageOf(pid).cpuMs]))
  return () =>
    Object.fromEntries(
      Object.entries(pids).map(([name, pid]) => {
        const { cpuMs, memoryMb: memory } = usageOf(pid)
        return [name, { cpuMs: cpuMs - (before.get(name) ?? 0), memoryMb: memory }]
      }),
    )
}
