import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { eventually } from './eventually.ts'
import {
  acquireLock,
  descendants,
  killWithOwner,
  LockHeldError,
  processIdentity,
  removeWithOwner,
} from './process-owner.ts'
import type { ServerAccount } from './operating-system.ts'

const startDeadlineMs = 60_000
const stopDeadlineMs = 20_000

export type ServerPlan = {
  readonly name: string
  /** The folder of data, log and lock. */
  readonly folder: string
  /** Whether `stop` removes the folder. */
  readonly isThrowAway: boolean
  readonly command: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly account: ServerAccount
  /** The signal for a clean and immediate stop. */
  readonly stopSignal: NodeJS.Signals
  readonly isReady: (pid: number) => Promise<boolean>
  readonly beforeStart?: () => Promise<void>
  /** A log line of a failure that a second start does not have. */
  readonly tryAgainOn?: RegExp
}

type Running = { readonly child: ChildProcess; readonly exited: Promise<unknown>; readonly cancelKill: () => void }

/**
 * A server process on one folder that can start and stop several times.
 *
 * stopped -> start -> running -> freeze -> frozen -> thaw -> running; running or frozen -> kill or stop -> stopped.
 * It ends with the process that started it. It locks its folder until `stop`.
 */
export class ServerProcess {
  readonly #plan: ServerPlan
  #running: Running | null = null
  #frozen: { readonly pids: readonly number[]; readonly cancelKill: () => void } | null = null
  #unlock: (() => Promise<void>) | null = null
  #cancelRemoval: (() => void) | null = null

  constructor(plan: ServerPlan) {
    this.#plan = plan
  }

  /** Creates and starts a server; a failed start leaves no process and no throw-away folder. */
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

  /** The number of the running process; throws while the server is stopped. */
  get pid(): number {
    const pid = this.#running?.child.pid
    if (pid === undefined) throw new Error(`${this.#plan.name} is not running`)
    return pid
  }

  async start(): Promise<void> {
    if (this.#running !== null) throw new Error(`${this.#plan.name} is running already`)
    this.#unlock ??= await acquireLock(join(this.#plan.folder, 'owner.lock'))
    if (this.#plan.isThrowAway) this.#cancelRemoval ??= removeWithOwner(this.#plan.folder)
    await this.#endOrphan()
    const endsAtMs = performance.now() + startDeadlineMs
    while (!(await this.#tryToStart(endsAtMs))) await wait(100)
  }

  /** Sends SIGKILL to the server and its children; resolves when all have ended. */
  async kill(): Promise<void> {
    const running = this.#running
    if (running === null) return
    running.child.ref()
    await killTree(this.pid)
    await running.exited
  }

  /** Sends SIGSTOP to the server and its children: connections stay open without answers. */
  async freeze(): Promise<void> {
    if (this.#frozen !== null) return
    process.kill(this.pid, 'SIGSTOP')
    // After the SIGSTOP, since a stopped server starts no further children.
    const pids = await descendants(this.pid)
    const halted = pids.filter((pid) => trySignal(pid, 'SIGSTOP'))
    this.#frozen = { pids: halted, cancelKill: halted.length > 0 ? killWithOwner(halted) : () => {} }
  }

  /** Continues a frozen server (SIGCONT). */
  async thaw(): Promise<void> {
    if (this.#frozen === null) return
    for (const pid of [...this.#frozen.pids, this.pid]) trySignal(pid, 'SIGCONT')
    this.#frozen.cancelKill()
    this.#frozen = null
  }

  /** Starts the server again on the same port and folder, after stopping it cleanly if it still runs. */
  async restart(): Promise<void> {
    await this.#stopProcess()
    await this.start()
  }

  /** Stops the server cleanly, removes a throw-away folder, and releases the lock. */
  async stop(): Promise<void> {
    await this.#stopProcess()
    if (this.#plan.isThrowAway) await rm(this.#plan.folder, { recursive: true, force: true, maxRetries: 5 })
    this.#cancelRemoval?.()
    this.#cancelRemoval = null
    await this.#unlock?.()
    this.#unlock = null
  }

  async #stopProcess(): Promise<void> {
    await this.thaw()
    const running = this.#running
    if (running === null) return
    running.child.ref()
    trySignal(this.pid, this.#plan.stopSignal)
    await Promise.race([running.exited, wait(stopDeadlineMs, undefined, { ref: false })])
    await this.kill()
  }

  /** Starts once; returns false where the log asks for a second start. */
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
    // A separate session: Ctrl-C in the terminal goes to the owner, which stops its servers last.
    const stdio: StdioOptions = ['ignore', log, log]
    const child = spawn(command, args, { ...account, env, cwd: folder, stdio, detached: true })
    closeSync(log)
    await once(child, 'spawn').catch((error: unknown) => {
      throw new Error(`${name} could not be started from ${command}`, { cause: error })
    })
    const pid = child.pid as number
    const cancelKill = killWithOwner([pid])
    const exited = once(child, 'exit').then(() => this.#ended(running))
    const running: Running = { child, exited, cancelKill }
    this.#running = running
    await writeFile(join(folder, 'server.json'), JSON.stringify({ pid, identity: await processIdentity(pid) }))
    return running
  }

  #ended(running: Running): void {
    running.cancelKill()
    this.#frozen?.cancelKill()
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

  /** Ends the server of an earlier owner, which has ended, since its lock is free. */
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
    // The process has ended.
    return false
  }
}
