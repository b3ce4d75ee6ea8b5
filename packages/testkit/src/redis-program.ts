import { access, constants, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { buildOnce, cacheFolder } from './cache-folder.ts'
import { runCommand } from './operating-system.ts'

/** The program of a Redis server, and further variables for its environment. */
type RedisProgram = { readonly command: string; readonly env: Readonly<Record<string, string>> }

const lowestMajor = 7

/**
 * Finds a Redis server of version 7 or later: `redis-server` or `valkey-server` on the PATH, else, on Debian and Ubuntu,
 * the distribution's package in the cache folder (without root). Throws an Error that names what to install.
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
  // Programs that were not started from a terminal have no Homebrew folder in their PATH.
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

/** Returns null for a usable program, else the reason why it is unusable. */
async function whyUnusable(program: RedisProgram): Promise<string | null> {
  const env = { ...process.env, ...program.env }
  const text = await runCommand(program.command, ['--version'], { env }).catch((error: Error) => error.message)
  const major = /\bv=(\d+)\./.exec(text)?.[1]
  if (major === undefined) return `${program.command} does not tell its version: ${text.trim()}`
  return Number(major) >= lowestMajor ? null : `${program.command} is of version ${major}, too old`
}

/**
 * Fetches the Redis package of the running Debian or Ubuntu release into the cache folder, without installing it. The
 * distribution signs it. Returns null on any other system. A second call needs no network.
 */
async function debianRedis(): Promise<RedisProgram | null> {
  const release = await debianRelease()
  if (release === null) return null
  const root = join(await cacheFolder(), `redis-${release}-${process.arch}`)
  await buildOnce(root, fetchInto)
  return { command: join(root, 'usr/bin/redis-server'), env: { LD_LIBRARY_PATH: await libraryPath(root) } }
}

/** Returns the release's id and version (`debian-12`) where apt can fetch packages, else null. */
async function debianRelease(): Promise<string | null> {
  const tools = await Promise.all(['apt-get', 'dpkg-deb'].map((tool) => runCommand(tool, ['--version']))).catch(
    () => null,
  )
  if (tools === null) return null
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? 'unknown'
  return `${field('ID')}-${field('VERSION_ID')}`
}

async function fetchInto(root: string): Promise<void> {
  const work = join(root, 'apt')
  try {
    await download(work, [])
  } catch {
    // The package lists are missing or outdated: fetch new ones into a separate folder.
    await rm(work, { recursive: true, force: true })
    await download(work, await ownLists(join(root, 'apt-lists')))
  }
  const archives = (await readdir(work)).filter((name) => name.endsWith('.deb'))
  for (const archive of archives) await runCommand('dpkg-deb', ['-x', join(work, archive), root])
  for (const folder of [work, join(root, 'apt-lists')]) await rm(folder, { recursive: true, force: true })
}

/** Fetches the package lists into a folder, which needs no root, and returns apt's options to use them. */
async function ownLists(folder: string): Promise<string[]> {
  const options = ['-o', `Dir::State::Lists=${join(folder, 'lists')}`, '-o', `Dir::Cache=${join(folder, 'cache')}`]
  await mkdir(join(folder, 'lists/partial'), { recursive: true })
  await mkdir(join(folder, 'cache/archives/partial'), { recursive: true })
  // Without this option `update` succeeds although a list could not be fetched.
  await runCommand('apt-get', ['-q', ...options, '-o', 'APT::Update::Error-Mode=any', 'update'])
  return options
}

async function download(folder: string, aptOptions: readonly string[]): Promise<void> {
  await mkdir(folder)
  const packages = await missingPackages(['redis-server', 'redis-tools'], aptOptions)
  await runCommand('apt-get', ['-q', ...aptOptions, 'download', ...packages], { cwd: folder })
}

/** Returns the folders of libraries, which are named after the machine (usr/lib/x86_64-linux-gnu). */
async function libraryPath(root: string): Promise<string> {
  const found = await Promise.all(
    ['usr/lib', 'lib'].map(async (folder) => {
      const names = await readdir(join(root, folder)).catch(() => [])
      return names.filter((name) => name.includes('-linux-')).map((name) => join(root, folder, name))
    }),
  )
  return found.flat().join(':')
}

/**
 * Returns the packages to fetch: `wanted` and the libraries that they need, directly or through others, and that are
 * not installed. Each release names its libraries differently.
 */
async function missingPackages(wanted: readonly string[], aptOptions: readonly string[]): Promise<string[]> {
  const installed = await installedPackages()
  const fetched = [...wanted]
  for (const name of fetched) {
    const listing = await runCommand('apt-cache', [...aptOptions, 'depends', '--important', name])
    for (const choices of dependencies(listing)) {
      const first = choices[0]
      if (first === undefined || !first.startsWith('lib') || fetched.includes(first)) continue
      if (!choices.some((choice) => installed.has(choice))) fetched.push(first)
    }
  }
  return fetched
}

/** Parses `apt-cache depends` into groups of alternatives: `|` marks an alternative to the next line. */
export function dependencies(listing: string): string[][] {
  const groups: string[][] = []
  let open: string[] = []
  for (const line of listing.split('\n')) {
    const found = /^ (\||\s)(?:Pre)?Depends: (\S+)/.exec(line)
    if (found === null) continue
    open.push(found[2] ?? '')
    if (found[1] === '|') continue
    groups.push(open)
    open = []
  }
  return groups
}

async function installedPackages(): Promise<Set<string>> {
  const rows = await runCommand('dpkg-query', ['-W', '-f', '${db:Status-Abbrev} ${Package}\n'], { maxBuffer: 2 ** 26 })
  return new Set(
    rows
      .split('\n')
      .filter((row) => row.startsWith('ii'))
      .map((row) => row.split(' ').at(-1) ?? ''),
  )
}
