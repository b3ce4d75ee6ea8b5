import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { pinoPretty } from './pretty-log.ts'
import { dieWithOwner } from '@persona-ingest/testkit'
import { repositoryRoot } from './dev-folder.ts'
import type { EnvSource } from '@persona-ingest/service'
import type { Session } from './session.ts'

/** The reason of a stop because an app ended that should still run. */
export class AppEnded extends Error {
  override readonly name = 'AppEnded'
}

/** Beyond the app's own deadline: it ends itself by then, or it hangs. */
const graceMs = 5000

export type AppProcessOptions = {
  readonly name: 'ingress' | 'worker'
  readonly env: EnvSource
  readonly drainTimeoutMs: number
}

/** An app of this repository that runs as a process of its own, from its built output. */
export interface AppProcess {
  readonly name: string
  /** SIGTERM; resolves when the app has drained and ended, throws when it ended otherwise. */
  drain(): Promise<void>
}

/** Starts an app; its log lines are printed, and the session stops should it end by itself. */
export async function startApp(options: AppProcessOptions, session: Session): Promise<AppProcess> {
  const { name, env } = options
  const child = spawn(process.execPath, nodeArguments(name), {
    cwd: repositoryRoot,
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C reaches us alone, and the app gets one signal, from us. A second would end it at once.
    detached: true,
  })
  child.stdout.pipe(pinoPretty())
  child.stderr.pipe(process.stderr, { end: false })
  await once(child, 'spawn')
  const callOff = dieWithOwner([child.pid as number])
  let isDraining = false
  child.once('exit', callOff)
  // Not `exit`: its last lines are read first.
  const closed = once(child, 'close')
  child.once('close', () => {
    if (!isDraining) session.stop(new AppEnded(`The ${name} ended unexpectedly (${exitOf(child)}).`))
  })
  const drain = async () => {
    isDraining = true
    if (hasEnded(child)) return
    child.kill('SIGTERM')
    await Promise.race([closed, wait(options.drainTimeoutMs + graceMs, undefined, { ref: false })])
    child.kill('SIGKILL')
    await closed
    // The signal itself ends an app that has not come as far as to listen to it, nor to hold anything.
    if (child.exitCode !== 0 && child.signalCode !== 'SIGTERM')
      throw new Error(`The ${name} did not drain (${exitOf(child)}).`)
  }
  return { name, drain }
}

/** The build of an app, or its source where we run from source ourselves, as in a test. */
function nodeArguments(name: string): string[] {
  const folder = join(repositoryRoot, 'apps', name)
  const isSource = import.meta.filename.endsWith('.ts')
  return isSource ? [...process.execArgv, join(folder, 'src/main.ts')] : [join(folder, 'dist/main.js')]
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function exitOf(child: ChildProcess): string {
  return child.signalCode === null ? `exit code ${child.exitCode}` : `by ${child.signalCode}`
}
