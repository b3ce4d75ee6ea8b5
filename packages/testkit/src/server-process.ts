import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { dieWithOwner, removeWithOwner } from './die-with-owner.ts'
import { eventually } from './eventually.ts'
import { acquireLock, LockHeldError } from './owner-lock.ts'
import { descendants, processIdentity } from './process-identity.ts'
import type { ServerAccount } from './server-account.ts'

const startDeadlineMs = 60_000
const stopDeadlineMs = 20_000

export type ServerPlan = {
  readonly name: string
  /** Holds everything of this server: its data, log and lock. */
  readonly folder: string
  /** Whether the folder goes with the server. */
  readonly isThrowAway: boolean
  readonly command: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly account: ServerAccount
  /** The signal on which the server stops cleanly at once. */
  readonly stopSignal: NodeJS.Signals
  readonly isReady: (pid: number) => Promise<boolean>
  readonly beforeStart?: () => Promise<void>
  /** A log line that means: the same start will succeed in a moment. */
  readonly tryAgainOn?: RegExp
}

type Running = { readonly child: ChildProcess; readonly exited: Promise<unknown>; readonly callOff: () => void }

/**
 * One server process on one folder, over several lives.
 *
 * stopped -> start -> running -> freeze -> frozen -> thaw -> running; running or frozen -> kill or stop -> stopped.
 * It never outlives the process that made it, and holds its folder against a second owner until `stop`.
 */
export class ServerProcess {
  readonly #plan: ServerPlan
  #running: Running | null = null
  #frozen: { readonly pids: readonly number[]; readonly callOff: () => void } | null = null
  #unlock: (() => Promise<void>) | null = null
  #callOffRemoval: (() => void) | null = null

  constructor(plan: ServerPlan) {
    this.#plan = plan
  }

  /** Makes a server and starts it; if that fails, nothing of it is left. */
  static async launch(plan: ServerPlan): Promise<ServerProcess> {
    const server = new ServerProcess(plan)
    try {
      await server.start()
      return server
    } catch (error) {
      if (!(error instanceof LockHeldError)) await server.stop()
      throw error
    }
  }

  /** The number of the running process; throws while it is stopped. */
  get pid(): number {
    const pid = this.#running?.child.pid
    if (pid === undefined) throw new Error(`${this.#plan.name} is not running`)
    return pid
  }

  async start(): Promise<void> {
    if (this.#running !== null) throw new Error(`${this.#plan.name} is running already`)
    this.#unlock ??= await acquireLock(join(this.#plan.folder, 'owner.lock'))
    if (this.#plan.isThrowAway) this.#callOffRemoval ??= removeWithOwner(this.#plan.folder)
    await this.#endOrphan()
    const endsAtMs = performance.now() + startDeadlineMs
    while (!(await this.#tryToStart(endsAtMs))) await wait(100)
  }

  /** Ends the server as a power cut would: SIGKILL to it and to its children, all of which are gone afterwards. */
  async kill(): Promise<void> {
    const running = this.#running
    if (running === null) return
    running.child.ref()
    await killTree(this.pid)
    await running.exited
  }

  /** Halts the server and its children (SIGSTOP): connections stay open and nothing answers. */
  async freeze(): Promise<void> {
    if (this.#frozen !== null) return
    process.kill(this.pid, 'SIGSTOP')
    // Only now, since a halted server makes no further children.
    const pids = await descendants(this.pid)
    const halted = pids.filter((pid) => trySignal(pid, 'SIGSTOP'))
    this.#frozen = { pids: halted, callOff: halted.length > 0 ? dieWithOwner(halted) : () => {} }
  }

  /** Lets a frozen server go on (SIGCONT). */
  async thaw(): Promise<void> {
    if (this.#frozen === null) return
    for (const pid of [...this.#frozen.pids, this.pid]) trySignal(pid, 'SIGCONT')
    this.#frozen.callOff()
    this.#frozen = null
  }

  /** Starts the server again on the same port and folder, after stopping it cleanly if it still runs. */
  async restart(): Promise<void> {
    await this.#halt()
    await this.start()
  }

  /** Stops the server cleanly, gives its folder free, and removes it if it is a throw-away one. */
  async stop(): Promise<void> {
    await this.#halt()
    if (this.#plan.isThrowAway) await rm(this.#plan.folder, { recursive: true, force: true, maxRetries: 5 })
    this.#callOffRemoval?.()
    this.#callOffRemoval = null
    await this.#unlock?.()
    this.#unlock = null
  }

  async #halt(): Promise<void> {
    await this.thaw()
    const running = this.#running
    if (running === null) return
    running.child.ref()
    trySignal(this.pid, this.#plan.stopSignal)
    await Promise.race([running.exited, wait(stopDeadlineMs, undefined, { ref: false })])
    await this.kill()
  }

  /** One start; gives false when the log says that it is worth trying again. */
  async #tryToStart(endsAtMs: number): Promise<boolean> {
    await this.#plan.beforeStart?.()
    const running = await this.#spawn()
    try {
      await this.#untilReady(running, endsAtMs)
    } catch (error) {
      await this.kill()
      if (performance.now() < endsAtMs && this.#plan.tryAgainOn?.test(String(error)) === true) return false
      throw error
    }
    running.child.unref()
    return true
  }

  async #spawn(): Promise<Running> {
    const { command, args, env, account, folder, name } = this.#plan
    const log = openSync(join(folder, 'server.log'), 'w')
    // A session of its own: Ctrl-C in the terminal is for the owner, who stops its servers last.
    const stdio: StdioOptions = ['ignore', log, log]
    const child = spawn(command, args, { ...account, env, cwd: folder, stdio, detached: true })
    closeSync(log)
    await once(child, 'spawn').catch((error: unknown) => {
      throw new Error(`${name} could not be started from ${command}`, { cause: error })
    })
    const pid = child.pid as number
    const callOff = dieWithOwner([pid])
    const exited = once(child, 'exit').then(() => this.#ended(running))
    const running: Running = { child, exited, callOff }
    this.#running = running
    await writeFile(join(folder, 'server.json'), JSON.stringify({ pid, identity: await processIdentity(pid) }))
    return running
  }

  #ended(running: Running): void {
    running.callOff()
    this.#frozen?.callOff()
    this.#frozen = null
    this.#running = null
  }

  async #untilReady(running: Running, endsAtMs: number): Promise<void> {
    const { name, isReady } = this.#plan
    const check = async () => this.#running !== running || (await isReady(this.pid))
    await eventually(check, { deadlineMs: endsAtMs - performance.now(), everyMs: 10 }).catch(() => {})
    if (this.#running === running && (await isReady(this.pid))) return
    const log = await readFile(join(this.#plan.folder, 'server.log'), 'utf8')
    throw new Error(`${name} did not start; the end of its log:\n${log.slice(-2000)}`)
  }

  /** Ends what an earlier owner of this folder left running; the lock says that this owner is gone. */
  async #endOrphan(): Promise<void> {
    const text = await readFile(join(this.#plan.folder, 'server.json'), 'utf8').catch(() => null)
    if (text === null) return
    const earlier = JSON.parse(text) as { pid: number; identity: string }
    if ((await processIdentity(earlier.pid)) === earlier.identity) await killTree(earlier.pid)
  }
}

async function killTree(pid: number): Promise<void> {
  trySignal(pid, 'SIGSTOP')
  const pids = [pid, ...(await descendants(pid))]
  const living = await Promise.all(pids.map(async (each) => [each, await processIdentity(each)] as const))
  for (const each of pids) trySignal(each, 'SIGKILL')
  for (const [each, identity] of living) {
    if (identity === null) continue
    await eventually(async () => (await processIdentity(each)) !== identity, { deadlineMs: stopDeadlineMs, everyMs: 5 })
  }
}

function trySignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    // It ended in the meantime.
    return false
  }
}
