import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { builtApp, nodeCommand, repositoryRoot } from './built-app.ts'
import { eventually } from './eventually.ts'
import { killWithOwner } from './process-owner.ts'

export type SpawnAppOptions = {
  /**
   * A path from the root of the repository. `apps/worker/src/main.ts` is built first, and the build runs: it starts in
   * less than half of the time. Any other `.ts` file runs from source, and a `dist/main.js` as it is.
   */
  readonly entry: string
  /** The app's whole environment. Only PATH, HOME, TMPDIR and LANG are inherited. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Arguments of the app. */
  readonly args?: readonly string[]
  /** Export conditions. Default: the sources of the packages for a `.ts` entry, none for a built one. */
  readonly conditions?: readonly string[]
  /** Flags of Node.js itself. */
  readonly nodeFlags?: readonly string[]
}

/** The end of a process: its exit code, or the signal that ended it. */
export type AppExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** An app in a separate process, which ends with this process. */
export interface SpawnedApp {
  readonly pid: number
  /** The lines of standard output so far. */
  readonly lines: readonly string[]
  readonly errorLines: readonly string[]
  /** Resolves when the process has ended and its output was read; never rejects. */
  readonly exit: Promise<AppExit>
  /** Returns the first line of standard output that fits, also an earlier one; throws at the deadline (20 s). */
  waitForLine(predicate: (line: string) => boolean, options?: { readonly deadlineMs?: number }): Promise<string>
  signal(signal: NodeJS.Signals): void
  /** Sends SIGKILL; resolves when the process has ended. */
  kill(): Promise<AppExit>
}

/**
 * Starts an app in a separate Node.js process that gets its signals directly. Throws where the process cannot start; a
 * failure of the app shows in `exit` and in its lines.
 */
export async function spawnApp(options: SpawnAppOptions): Promise<SpawnedApp> {
  const name = /^apps\/([^/]+)\/src\/main\.ts$/.exec(options.entry)?.[1]
  const entry = name === undefined ? resolve(repositoryRoot, options.entry) : await builtApp(name)
  const { command, args } = nodeCommand(nodeArguments({ ...options, entry }), options.env?.['NODE_OPTIONS'])
  const child = spawn(command, args, {
    cwd: repositoryRoot,
    env: { ...inherited(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines = collect(child.stdout)
  const errorLines = collect(child.stderr)
  await once(child, 'spawn')
  const pid = child.pid as number
  const cancelKill = killWithOwner([pid])
  child.once('exit', cancelKill)
  const exit: Promise<AppExit> = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  return {
    pid,
    lines,
    errorLines,
    exit,
    waitForLine: (predicate, { deadlineMs = 20_000 } = {}) =>
      eventually(() => lineThatFits(child, { lines, errorLines }, predicate), { deadlineMs, everyMs: 10 }),
    signal: (signal) => void child.kill(signal),
    kill: () => {
      child.kill('SIGKILL')
      return exit
    },
  }
}

const typescriptLoader = pathToFileURL(resolve(repositoryRoot, 'test/typescript/register.mjs')).href

function nodeArguments({ entry, args = [], conditions, nodeFlags = [] }: SpawnAppOptions): string[] {
  const isSource = entry.endsWith('.ts')
  const wanted = conditions ?? (isSource ? ['@persona-ingest/source'] : [])
  const loader = isSource ? [`--import=${typescriptLoader}`] : []
  return [...nodeFlags, ...loader, ...wanted.map((each) => `--conditions=${each}`), entry, ...args]
}

function inherited(): Record<string, string | undefined> {
  const { PATH, HOME, TMPDIR, LANG } = process.env
  return { PATH, HOME, TMPDIR, LANG }
}

function collect(stream: NodeJS.ReadableStream): string[] {
  const lines: string[] = []
  createInterface({ input: stream }).on('line', (line) => lines.push(line))
  return lines
}

type Output = { readonly lines: readonly string[]; readonly errorLines: readonly string[] }

function lineThatFits(child: ChildProcess, output: Output, predicate: (line: string) => boolean): string {
  const line = output.lines.find(predicate)
  if (line !== undefined) return line
  const state = child.exitCode ?? child.signalCode ?? 'still running'
  const tail = [...output.lines.slice(-10), ...output.errorLines.slice(-10)].join('\n')
  throw new Error(`no line fits; exit: ${state}; the end of its output:\n${tail}`)
}
