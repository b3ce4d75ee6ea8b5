import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { debianRedis } from './debian-redis.ts'
import { runCommand } from './run-command.ts'

/** How to run a Redis server: the program and what its environment needs beyond ours. */
export type RedisProgram = { readonly command: string; readonly env: Readonly<Record<string, string>> }

const lowestMajor = 7

/**
 * Finds a Redis server of version 7 or later: `redis-server` or `valkey-server` on the PATH, else, on Debian and
 * Ubuntu, the distribution's own package in a cache folder (no root needed).
 *
 * Throws an Error that says what to install.
 */
export async function findRedis(): Promise<RedisProgram> {
  const faults: string[] = []
  for (const command of await onPath(['redis-server', 'valkey-server'])) {
    const fault = await whyUnusable({ command, env: {} })
    if (fault === null) return { command, env: {} }
    faults.push(fault)
  }
  try {
    const program = await debianRedis()
    const fault = program === null ? null : await whyUnusable(program)
    if (program !== null && fault === null) return program
    if (fault !== null) faults.push(fault)
  } catch (error) {
    faults.push(`The distribution's own package could not be fetched: ${(error as Error).message}`)
  }
  throw new Error([howToInstall, ...faults].join('\n'))
}

const howToInstall = `Redis ${lowestMajor} or later is needed, and none was found. Set REDIS_URL to a running one, or install it:
  Debian, Ubuntu  sudo apt-get install redis-server
  Fedora, RHEL    sudo dnf install valkey
  Alpine          apk add redis
  Arch            sudo pacman -S valkey
  macOS           brew install redis`

async function onPath(names: readonly string[]): Promise<string[]> {
  // Homebrew's folder is missing from the PATH of programs that were not started from a terminal.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/opt/homebrew/bin', '/usr/local/bin']
  const candidates = names.flatMap((name) => folders.filter((folder) => folder !== '').map((each) => join(each, name)))
  const found = await Promise.all(
    [...new Set(candidates)].map((path) =>
      access(path, constants.X_OK).then(
        () => [path],
        () => [],
      ),
    ),
  )
  return found.flat()
}

/** Gives null for a program that runs and is new enough, else what is wrong with it. */
async function whyUnusable(program: RedisProgram): Promise<string | null> {
  const env = { ...process.env, ...program.env }
  const text = await runCommand(program.command, ['--version'], { env }).catch((error: Error) => error.message)
  const major = /\bv=(\d+)\./.exec(text)?.[1]
  if (major === undefined) return `${program.command} does not tell its version: ${text.trim()}`
  return Number(major) >= lowestMajor ? null : `${program.command} is of version ${major}, too old`
}
