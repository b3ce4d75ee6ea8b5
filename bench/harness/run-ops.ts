import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Servers } from './servers.ts'

/** A command of `ops` that came to its end. */
export type OpsRun = {
  readonly exitCode: number
  readonly document: unknown
  readonly seconds: number
  /** The most memory that its process held at once, in MB (`VmHWM`). */
  readonly peakMb: number
}

const LOOKED_EVERY_MS = 200

function peakMb(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

/** Runs a command of our `ops`, as built, with `--json`. */
export async function runOps(servers: Servers, args: readonly string[]): Promise<OpsRun> {
  const entry = join(import.meta.dirname, '../../apps/ops/dist/main.js')
  const env = { PATH: process.env['PATH'], DATABASE_URL: servers.databaseUrl, LOG_LEVEL: 'silent' }
  const startedAtMs = performance.now()
  const child = spawn(process.execPath, [entry, ...args, '--json'], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  let peak = 0
  const looking = setInterval(() => (peak = Math.max(peak, peakMb(child.pid ?? 0))), LOOKED_EVERY_MS)
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
  const [exitCode, output] = await Promise.all([exited, text(child.stdout)]).finally(() => clearInterval(looking))
  const seconds = (performance.now() - startedAtMs) / 1000
  return { exitCode, document: JSON.parse(output), seconds, peakMb: peak }
}
